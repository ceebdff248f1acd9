# breaks: one checkpoint less is kept than configured
# file: src/train/checkpoint_folder.cpp
# tests: cli_checkpoint_crash unit_train
s/good < keeping\.last/good + 1 < keeping.last/
