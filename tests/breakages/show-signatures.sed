# breaks: messages show the signatures of presigned addresses
# file: src/data/web_address.cpp
# tests: unit_data cli_remote
s/^  std::string text = address\.substr\(0, address\.find\('#'\)\);/  if (!address.empty()) return address;\n&/
