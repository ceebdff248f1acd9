# breaks: gradients are not clipped
# file: src/train/trainer.cpp
# tests: golden_train
s/config_\.gradient_clip > 0 \?/config_.gradient_clip > 1e30 ?/
