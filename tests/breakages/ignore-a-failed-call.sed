# breaks: a call of NCCL that returns an error is taken for one that succeeded
# file: src/distributed/nccl_communicator.cpp
# tests: fake_gpu_failure
s/if \(result == 0\) return;/if (result >= 0) return;/
