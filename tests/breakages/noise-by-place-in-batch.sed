# breaks: noise is keyed by the place in the micro-batch, not by the sample
# file: src/train/random_inputs.cpp
# tests: property_training property_ranks
s/\{seed, uint64_t\(positions\[i\]\), purpose\}/{seed, uint64_t(i), purpose}/
