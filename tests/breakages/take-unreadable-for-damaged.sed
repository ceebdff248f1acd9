# breaks: a file that cannot be read is taken for a damaged one
# file: src/formats/manifest.cpp
# tests: unit_formats unit_run
s/if \(error == ENOENT \|\|/if (error != 0 || error == ENOENT ||/
