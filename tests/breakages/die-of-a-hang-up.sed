# breaks: SIGHUP ends a run without saving
# file: src/base/env.cpp
# tests: cli_stop cli_launch unit_base
s/SIGUSR1, SIGHUP\};/SIGUSR1};/
