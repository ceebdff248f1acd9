# breaks: scores of different protocols are compared as if they were of one
# file: tools/score.cpp
# tests: cli_errors
s/if \(!lines\.empty\(\) && !arguments\.different_protocols\)/if (lines.size() > 1000)/
