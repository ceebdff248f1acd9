# breaks: a checkpoint is called saved before its name is durable
# file: src/base/file.cpp
# tests: cli_checkpoint_crash
/^void StagedFolder::commit/,/^\}/ s/sync_path\(parent_of\(final_\)\);/{}/
