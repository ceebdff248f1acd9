# breaks: a distilled stage continues with another teacher than it began with
# file: src/train/initial_weights.cpp
# tests: cli_consistency
s/if \(!stage\.info\(\)\.distills\) return \{\};/return {};/
