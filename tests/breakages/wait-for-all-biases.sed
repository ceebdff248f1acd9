# breaks: parameters without decay keep all other sums over the ranks waiting until backward ends
# file: src/train/gradient_buckets.cpp
# tests: unit_train
s/return first_of\(a\) > first_of\(b\);/return a.gradients.storage_offset() > b.gradients.storage_offset();/
