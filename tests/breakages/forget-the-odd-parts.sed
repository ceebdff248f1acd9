# breaks: the last part of the rows of an image is left out of the gradients of its modulation on a GPU
# file: src/nn/kernels/sum_parts.cu
# tests: fake_gpu_kernels
s/i < count; i \+= kSumWarps/i < count - (count > 1); i += kSumWarps/
