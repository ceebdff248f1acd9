# breaks: an old checkpoint is deleted under its name, file by file
# file: src/base/deletion.cpp
# tests: cli_checkpoint_crash
/^void delete_folder/,/^\}/ { s/if \(::rename\(folder\.c_str\(\), doomed\.c_str\(\)\) != 0\)/if (doomed.empty())/; s/sync_path\(parent\);/(void)parent;/; s/delete_tree\(doomed/delete_tree(folder/ }
