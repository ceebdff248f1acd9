# breaks: the bound of a loss that a GPU computes does not train the variance
# file: src/diffusion/kernels/loss_element.h
# tests: fake_gpu_kernels, fake_gpu_golden_diffusion
s/slope\.variance = \(by_variance/slope.variance = 0 * (by_variance/
