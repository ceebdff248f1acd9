# breaks: on a GPU the gradient of a micro-batch replaces those of the micro-batches before it
# file: src/optim/flat_parameters.cpp
# tests: fake_gpu_product
s/\.adds = has_value\[i\] != 0/.adds = false/
