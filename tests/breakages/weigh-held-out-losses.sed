# breaks: validation losses have the weights of the training, so runs with other weights cannot be compared
# file: src/train/objectives.cpp
# tests: unit_train
s/held_out_draw\(setting_, sample\)\), false\)/held_out_draw(setting_, sample)), true)/
