# breaks: a line break in a file name begins a new line of the log
# file: src/base/log.cpp
# tests: unit_base
s/^( *)at_start = c == .*;/\1at_start = false;/
