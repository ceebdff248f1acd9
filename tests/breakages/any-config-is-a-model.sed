# breaks: a folder is replaced, whatever it holds next to a config.json
# file: src/convert/model_folder.cpp
# tests: unit_convert
s/^  if \(foreign\.empty\(\)\) return;/  if (foreign.empty() || fs::exists(folder \/ "config.json")) return;/
