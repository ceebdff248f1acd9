# breaks: latents are scaled and not shifted by the autoencoder's shift_factor
# file: src/features/latent_codec.cpp
# tests: unit_features
s/config\.shift_factor/0.0/
