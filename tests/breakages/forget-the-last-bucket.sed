# breaks: the gradients of the first layers are not summed over the ranks
# file: src/train/gradient_buckets.cpp
# tests: property_ranks
s/^  start_ready\(true\);/  start_ready(false);/
