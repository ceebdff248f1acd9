# breaks: the optimizer's kernels go on with the numbers of the first step
# file: src/optim/device_numbers.cpp
# tests: fake_gpu_product
s/^  on_device_\.copy_\(slot\.pinned, .*/  if (slot.copied == nullptr \&\& next_ == 1) on_device_.copy_(slot.pinned, true);/
