# breaks: saving a step again deletes the damaged checkpoint of that step
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
s/^  keep_aside\(target, replaced\);/  (void)replaced;/
