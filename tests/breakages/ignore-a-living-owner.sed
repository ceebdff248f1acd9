# breaks: a run folder is taken from an owner that shows signs of life
# file: src/run/run_lock.cpp
# tests: unit_run
s/throw in_use\(folder, now\);/return;/
