# breaks: the number of ranks decides which images are drawn together
# file: src/train/drawing.cpp
# tests: unit_train
s/std::min\(drawing\.group, total - first\)/std::min(drawing.group * world, total - first)/
