# breaks: pixart sample --overwrite replaces images that it did not draw
# file: src/sample/image_folder.cpp
# tests: unit_sample cli_commands
s/^bool is_our_image\(const fs::path& path\) \{/&\n  if (fs::exists(path)) return true;/
