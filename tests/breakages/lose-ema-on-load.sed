# breaks: the average of the weights is not restored
# file: src/train/checkpoint.cpp
# tests: unit_train
s/^  copy_into_views\(trainer\.views\(state\.ema\).*//
