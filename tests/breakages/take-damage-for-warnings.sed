# breaks: warnings of libjpeg about the pixels are ignored
# file: src/formats/jpeg.cpp
# tests: unit_formats cli_spoiled_data
s/if \(!is_warning \|\| is_harmless\(code\)/if (!is_warning || code != 0 || is_harmless(code)/
