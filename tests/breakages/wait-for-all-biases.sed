# breaks: parameters without decay keep all other sums over the ranks waiting until backward ends
# file: src/train/gradient_buckets.cpp
# tests: unit_train
s/return \*std::min_element\(b\.parameters\.begin\(\), b\.parameters\.end\(\)\);/return size_t(b.gradients.storage_offset());/
