# breaks: the optimizer's count of steps is not restored
# file: src/train/checkpoint.cpp
# tests: unit_train
s/^  state\.optimizer->steps\(\) = .*//
