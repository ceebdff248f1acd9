# breaks: a checkpoint is believed without its hashes
# file: src/train/checkpoint_folder.cpp
# tests: unit_train
s/return judge\(folder, only, true\);/return judge(folder, only, false);/
