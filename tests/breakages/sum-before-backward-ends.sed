# breaks: gradients are summed over the ranks before the GPU has computed them
# file: src/train/gradient_buckets.cpp
# tests: fake_gpu_product
/before\.block\(/d
