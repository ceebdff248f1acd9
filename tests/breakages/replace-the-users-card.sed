# breaks: a model card that somebody edited is replaced
# file: src/convert/model_folder.cpp
# tests: unit_convert cli_commands
s/return is_own_card\(read_file\(file, kLargestConfig\)\);/return !read_file(file, kLargestConfig).empty();/
