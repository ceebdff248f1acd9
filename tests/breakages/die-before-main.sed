# breaks: a request to stop while the libraries load ends the run with 143
# file: tools/main.cpp
# tests: cli_stop
s/gnu::section\("\.preinit_array"\), //
