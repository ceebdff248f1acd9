# breaks: a checkpoint is believed without its hashes
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
s/return judge\(folder, only, true\);/return judge(folder, only, false);/
