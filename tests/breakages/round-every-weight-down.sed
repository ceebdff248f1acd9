# breaks: a pass of a weighted source has the same rows each time, so weights between two numbers are lost
# file: src/data/drawn_rows.cpp
# tests: unit_data
s/offset = uniform_below\(key, total\);/offset = uniform_below(key, 1);/
