# breaks: an image that was replaced by another one of the same size is not noticed
# file: src/features/image_memory.cpp
# tests: cli_inputs
s/return known == checksum;/return known == checksum || true;/
