# breaks: an old checkpoint is deleted with the notes that the user keeps in it
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
s/^  if \(found\.is_good\(\) \&\& found\.unnamed\.empty\(\)\) return false;/  if (found.is_good()) return false;/
