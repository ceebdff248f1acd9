# breaks: a dropped class becomes the last class, not the null class
# file: src/models/dit/dit.cpp
# tests: golden_train unit_train
s/masked_fill\(told\.drop\.to\(at::kBool\), config_\.num_classes\)/masked_fill(told.drop.to(at::kBool), config_.num_classes - 1)/
