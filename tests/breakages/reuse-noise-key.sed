# breaks: noise and posterior of a sample come from one key
# file: src/train/random_inputs.cpp
# tests: property_training
s/batch_normal\(seed, positions, Purpose::kPosterior, latent_shape\)/batch_normal(seed, positions, Purpose::kNoise, latent_shape)/
