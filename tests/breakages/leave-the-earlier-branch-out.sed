# breaks: the kernel of a norm does not add what the block before it left
# file: src/nn/kernels/residual_norm.cu
# tests: fake_gpu_kernels
s/work\.earlier\.branch != nullptr/work.earlier.branch != nullptr \&\& rows.images < 0/
