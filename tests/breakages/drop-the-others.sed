# breaks: the condition is dropped from the samples that should keep it, and kept by the others
# file: src/train/objectives.cpp
# tests: golden_train unit_train
s/draw\.drop\.to\(at::kBool\)/draw.drop.to(at::kBool).logical_not()/
s/\.drop = draw\.drop\.to\(device\)/.drop = draw.drop.logical_not().to(device)/
