# breaks: a key that is fixed changes with permission
# file: src/train/run_folder.cpp
# tests: unit_train
s/change\.on_resume == OnResume::kNeedsPermission \&\& permitted/permitted/
