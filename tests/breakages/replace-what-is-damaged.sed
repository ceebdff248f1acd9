# breaks: saving a step again deletes the damaged checkpoint of that step
# file: src/train/checkpoint_folder.cpp
# tests: unit_train
s/if \(!replaced\.is_good\(\)\)/if (false \&\& !replaced.is_good())/
