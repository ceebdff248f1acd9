# breaks: the run token of `pixart launch` can be guessed
# file: src/distributed/run_token.cpp
# tests: cli_launch
s/random_bytes\(32\)/std::string(32, 't')/
