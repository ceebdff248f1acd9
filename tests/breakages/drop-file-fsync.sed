# breaks: files of a checkpoint are renamed into place without an fsync of their bytes
# file: src/base/file.cpp
# tests: cli_checkpoint_crash
s/at->is_regular_file\(\) \|\| //
