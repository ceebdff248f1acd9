# breaks: with base_width, all parameters have one learning rate
# file: src/train/trainer.cpp
# tests: property_training
s/if \(config\.rates\.empty\(\)\) return rates;/return rates;/
