# breaks: the noise of a suite's image belongs to the place of its prompt in the suite, not to its id
# file: src/sample/suite.cpp
# tests: unit_sample cli_commands
s/noise_index\(own\.id, number\)/noise_index(std::to_string(file), number)/
