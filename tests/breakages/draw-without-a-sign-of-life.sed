# breaks: a rank that draws gives no sign of life between the pieces of a group
# file: src/train/drawing.cpp
# tests: unit_train
s/total - first\), asked\)/total - first), [] { return false; })/
