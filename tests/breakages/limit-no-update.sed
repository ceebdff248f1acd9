# breaks: CAME's kernels do not limit the root mean square of an update
# file: src/optim/kernels/came.cu
# tests: fake_gpu_kernels
s|update_of\(b, e, p, at\) / limit|update_of(b, e, p, at) / (limit < 0 ? limit : 1.0F)|
