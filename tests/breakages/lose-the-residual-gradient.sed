# breaks: the gradient of a residual by its other uses is not added to that through its norm
# file: src/nn/cpu_passes.cpp
# tests: unit_nn golden_models
s/if \(more != nullptr\) kernels::sum_of/if (more != nullptr \&\& rows.count < 0) kernels::sum_of/
