# breaks: the names of a checkpoint's files are not made durable
# file: src/base/file.cpp
# tests: cli_checkpoint_crash
/^void sync_tree/,/^\}/ s/^  sync_path\(folder\);//
