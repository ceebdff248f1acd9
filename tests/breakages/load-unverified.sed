# breaks: parts of a checkpoint are loaded without their hashes
# file: src/train/checkpoint.cpp
# tests: unit_train
s/return formats::open_weights\(file\);/return formats::open_safetensors(file);/
