# breaks: a save waits for the copy of each tensor
# file: src/run/host_copies.cpp
# tests: fake_gpu_counts
s/\/\*non_blocking=\*\/true/\/*non_blocking=*\/false/
