# breaks: a checkpoint is believed without its hashes
# file: src/train/checkpoint_folder.cpp
# tests: unit_train
s/return problem\.empty\(\) \? wrong_hash\(folder, manifest\) : problem;/return problem;/
