# breaks: the convolution of compressed keys begins as a sum, not as a mean
# file: src/models/initialize.cpp
# tests: unit_models
s|tensor\.fill_\(1\.0 / double\(tensor\.size\(-1\) \* tensor\.size\(-2\)\)\);|tensor.fill_(1.0);|
