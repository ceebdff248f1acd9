# breaks: a rank whose own call of NCCL failed is said to hang
# file: src/distributed/blame.cpp
# tests: unit_distributed fake_gpu_failure
s/own >= 0\) return blame_failed/own >= 9999) return blame_failed/
