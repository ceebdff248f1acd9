# breaks: a run folder is taken from an owner that shows signs of life
# file: src/train/run_lock.cpp
# tests: unit_train
s/throw in_use\(folder, now\);/return;/
