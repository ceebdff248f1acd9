# breaks: a process whose output nobody reads dies at its next line, without saving
# file: src/base/standard_streams.cpp
# tests: cli_stop cli_launch cli_streams unit_base
s/std::signal\(SIGPIPE, SIG_IGN\);//
