# breaks: an error in writing a shard of features is lost
# file: src/data/feature_set.cpp
# tests: unit_data
s/writing_\.get\(\)/writing_.wait()/
