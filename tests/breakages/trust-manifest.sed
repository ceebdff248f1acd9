# breaks: the manifest's own hash is not checked
# file: src/formats/manifest.cpp
# tests: unit_formats
s/if \(version >= 2\) \{/if (version >= 3) {/
