# breaks: latents are not normalised
# file: src/train/objectives.cpp
# tests: golden_train unit_train
s/\.scale = setting\.codec->scale\(\)/.scale = at::ones_like(setting.codec->scale())/
