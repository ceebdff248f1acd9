# breaks: one checkpoint less is kept than configured
# file: src/run/checkpoint_folder.cpp
# tests: cli_checkpoint_crash unit_run
s/good < keeping\.keep_last/good + 1 < keeping.keep_last/
