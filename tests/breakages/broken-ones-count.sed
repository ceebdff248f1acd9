# breaks: broken checkpoints count as the last good ones
# file: src/train/checkpoint_folder.cpp
# tests: unit_train
s/good \+= is_good;/++good;/
