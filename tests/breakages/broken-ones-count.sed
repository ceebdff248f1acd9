# breaks: broken checkpoints count as the last good ones
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
s/good \+= is_good;/++good;/
