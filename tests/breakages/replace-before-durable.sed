# breaks: a conversion replaces a file before what replaces it is on the disk
# file: src/convert/folders.cpp
# tests: unit_convert
/^TargetOptions check_target/,/^\}/ s/options\.durability = Durability::kNow;//
