# breaks: a conversion replaces a file before what replaces it is on the disk
# file: src/base/file.cpp
# tests: unit_convert
/^Durability durability_of/,/^\}/ s/\? Durability::kNow : wanted/? wanted : wanted/
