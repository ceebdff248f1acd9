# breaks: each length of a longest caption is another shape of attention on a GPU
# file: src/nn/layers.cpp
# tests: unit_nn fake_gpu_counts
s/return std::min\(rounded_up\(longest, unit\), most\);/return std::min(rounded_up(longest, unit * 0 + 1), most);/
