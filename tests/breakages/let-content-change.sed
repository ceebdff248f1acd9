# breaks: an autoencoder with other weights is used where a stage has begun
# file: src/train/inputs.cpp
# tests: cli_inputs
s/was != facts->inputs\.end\(\) \&\& was->second != hash/was != facts->inputs.end() \&\& was->second.empty()/
