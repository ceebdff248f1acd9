# breaks: the manifest's own hash is not checked
# file: src/train/checkpoint_manifest.cpp
# tests: unit_train
s/if \(version >= 2\) \{/if (version >= 3) {/
