# breaks: an old checkpoint is deleted under its name, file by file
# file: src/base/file.cpp
# tests: cli_checkpoint_crash
/^void delete_folder/,/^\}/ { s/rename_or_throw\(path, doomed\);//; s/sync_path\(parent_of\(path\)\);//; s/remove_all\(doomed/remove_all(path/ }
