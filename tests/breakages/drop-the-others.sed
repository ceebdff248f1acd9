# breaks: the condition is dropped from the samples that should keep it, and kept by the others
# file: src/train/objectives.cpp
# tests: golden_train unit_train
s/\.drop = draw\.drop,/.drop = draw.drop.logical_not(),/
