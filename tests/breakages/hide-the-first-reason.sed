# breaks: a source without a good row does not say why
# file: src/data/records.cpp
# tests: unit_data
s/printable\(first\.detail\)/"unusable"/
