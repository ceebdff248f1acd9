# breaks: parts of a checkpoint are loaded without their hashes
# file: src/train/checkpoint.cpp
# tests: unit_train
s/^  formats::Weights weights = formats::open_weights\(file\);/  formats::Weights weights = formats::open_safetensors(file);/
