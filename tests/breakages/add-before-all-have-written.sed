# breaks: warps of a block add the parts of a sum before all have written theirs
# file: src/nn/kernels/cuda_rows.h
# tests: fake_gpu_kernels
s/  __syncthreads\(\);//
