# breaks: a dropped class becomes the last class, not the null class
# file: src/train/objectives.cpp
# tests: golden_train unit_train
s/model_\.config\(\)\.num_classes\)/model_.config().num_classes - 1)/
