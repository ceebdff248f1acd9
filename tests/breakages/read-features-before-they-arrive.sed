# breaks: features of captions are read from the host's memory before the GPU has copied them
# file: src/features/encoded_batch.cpp
# tests: fake_gpu_product
/arrival_->synchronize\(\)/d
