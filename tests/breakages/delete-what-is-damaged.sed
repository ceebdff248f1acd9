# breaks: a damaged checkpoint is deleted with the old ones
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
/^void remove_old/,/^\}/ s/else if \(!keep_aside\(old\.folder, found\)\)/else/
