# breaks: the text encoder pads captions to max_tokens on GPUs, too
# file: src/features/caption_encoder.cpp
# tests: fake_gpu_product
s/is_short = padding/is_short = false \&\& padding/
