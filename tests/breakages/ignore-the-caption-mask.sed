# breaks: padding of captions is attended
# file: src/train/objectives.cpp
# tests: golden_train unit_train
s/\.mask = batch\.mask,/.mask = {},/
s/\.layout = inputs\.layout,/.layout = {},/
