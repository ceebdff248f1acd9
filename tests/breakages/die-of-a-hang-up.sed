# breaks: SIGHUP ends a run without saving
# file: src/base/env.cpp
# tests: unit_base cli_stop cli_launch
s/signals\.push_back\(SIGHUP\)/(void)0/
