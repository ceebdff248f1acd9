# breaks: a folder with a name of ours is deleted with the files of others in it
# file: src/base/deletion.cpp
# tests: unit_base unit_run
s/^    if \(!foreign\(folder\)\.empty\(\)\) return false;/    (void)foreign;/
