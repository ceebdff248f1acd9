# breaks: a checkpoint stands under its name before its files are written
# file: src/run/checkpoint_folder.cpp
# tests: cli_checkpoint_crash
s/^  StagedFolder staged\(.*/  struct { fs::path folder; fs::path path() const { return folder; } void commit() const { for (const auto\& file : fs::directory_iterator(folder)) sync_path(file.path()); sync_path(folder); sync_path(folder.parent_path()); } } staged{stage_folder \/ folder_name(content.step)}; create_folders(staged.folder);/
