# breaks: options take the largest number for a larger one
# file: tools/command_line.cpp
# tests: cli_numbers
s/return errno == ERANGE \?/return errno == EDOM ?/
