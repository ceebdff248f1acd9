# breaks: a process that has nothing to do waits for a slow one
# file: src/data/feature_set.cpp
# tests: unit_data
s/if \(!make_if_free\(missing\[i\]\)\) help\(missing\[i\]\);/make_if_free(missing[i]);/
