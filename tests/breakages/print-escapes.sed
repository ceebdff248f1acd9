# breaks: escape sequences in names and metadata reach the terminal
# file: src/base/print.cpp
# tests: unit_base cli_commands
s/^  constexpr Range kRanges\[\] = \{\{0x00, 0x1F\},/  constexpr Range kRanges[] = {{0x00, 0x1A},/
