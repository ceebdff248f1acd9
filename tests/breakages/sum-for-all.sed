# breaks: with `optimizer.shard`, each rank gets the sums of all gradients on a GPU
# file: src/train/gradient_buckets.cpp
# tests: fake_gpu_product
s/ranks_\.reduce_sum\(bucket\.gradients, bucket\.owner, phase_\);/ranks_.all_reduce_sum(bucket.gradients, phase_);/
