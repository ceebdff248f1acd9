# breaks: exact mode adds ranks one after the other, not as a tree
# file: src/train/gradient_sum.cpp
# tests: property_ranks
s/const int64_t left = \(count \+ 1\) \/ 2;/const int64_t left = count - 1;/
