# breaks: an fsync that fails is taken for one that succeeded
# file: src/base/file.cpp
# tests: cli_checkpoint_crash
/^void sync_path/,/^\}/ s/if \(::fsync\(file\.value\) != 0\) .*/::fsync(file.value);/
