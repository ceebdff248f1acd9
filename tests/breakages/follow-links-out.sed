# breaks: symbolic links in a source lead to any file of the machine
# file: src/data/links.cpp
# tests: unit_data cli_data_check
s/^  if \(config_\.follow_links\) return true;/  if (config_.follow_links || !path.empty()) return true;/
