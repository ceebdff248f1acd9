# breaks: warps of a block write the parts of their next sum over those that others still read
# file: src/nn/kernels/cuda_rows.h
# tests: fake_gpu_kernels
s/turn = 1 - turn;/turn = 0;/
