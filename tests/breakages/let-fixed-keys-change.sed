# breaks: a key that is fixed changes with permission
# file: src/run/run_folder.cpp
# tests: unit_run
s/change\.on_resume == OnResume::kNeedsPermission \&\& contains/contains/
