# breaks: data pack deletes leftovers in a folder that it then refuses
# file: src/data/pack.cpp
# tests: unit_data
s/^  auto found = read_pack_state\(folder\);/  remove_leftovers(folder, own_names(wanted));\n&/
