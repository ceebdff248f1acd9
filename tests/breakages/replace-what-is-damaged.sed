# breaks: saving a step again deletes the damaged checkpoint of that step
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
s/if \(!replaced\.is_good\(\)\)/if (false \&\& !replaced.is_good())/
