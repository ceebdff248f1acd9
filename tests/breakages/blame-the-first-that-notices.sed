# breaks: in a hang of NCCL the rank that notices first is named, and not the one that keeps the others waiting
# file: src/distributed/mesh.cpp
# tests: unit_distributed fake_gpu_failure
s/if \(!failure_ \|\| !failure_->is_wait\) return;/return;/
