# breaks: gradients that no sample of a rank completes are not summed over the ranks
# file: src/train/gradient_buckets.cpp
# tests: unit_train
s/^  start_ready\(true\);/  start_ready(false);/
