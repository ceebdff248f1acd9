# breaks: image tokens ask for the texts of padding in packed attention on a GPU
# file: src/nn/layers.cpp
# tests: unit_nn
s|begins\[1\]\[i\] = int\(std::min\(i, batch\)\);|begins[1][i] = int(i);|
