# breaks: an image that cannot be saved is forgotten, and drawing goes on
# file: src/sample/image_writer.cpp
# tests: unit_sample cli_commands
s/failure = std::current_exception\(\);//
