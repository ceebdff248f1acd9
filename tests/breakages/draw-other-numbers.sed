# breaks: a GPU draws other noise than the host
# file: src/diffusion/kernels/noising_element.h
# tests: fake_gpu_kernels
s/philox_block\(key, uint64_t\(stream\), uint64_t\(group\)\)/philox_block(key, uint64_t(stream), uint64_t(group) + 1)/
