# breaks: every warning of libjpeg counts as damage
# file: src/formats/jpeg.cpp
# tests: unit_formats cli_spoiled_data
s/if \(!is_warning \|\| (is_harmless\(code\) \|\| is_read_all_the_same\(decoder, code\))\) return;/if (!is_warning || (false \&\& (\1))) return;/
