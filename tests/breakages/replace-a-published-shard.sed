# breaks: a slow process replaces a shard that another one has published
# file: src/base/file.cpp
# tests: unit_base unit_data
s/::link\(made\.c_str\(\), path\.c_str\(\)\) == 0/::rename(made.c_str(), path.c_str()) == 0/
