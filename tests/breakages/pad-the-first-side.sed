# breaks: the odd row of padding of a convolution with a stride is at the first side, not at the last as in TensorFlow
# file: src/score/efficientnet_lite.cpp
# tests: unit_score
s/const int64_t first = all \/ 2, last = all - first;/const int64_t last = all \/ 2, first = all - last;/
