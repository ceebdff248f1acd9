# breaks: the networks of a metric leave the convolutions of the training in another precision
# file: src/score/drawn_networks.h
# tests: unit_score
s/~AllFloat32\(\) \{ at::globalContext\(\)\.setAllowTF32CuDNN\(before_\); \}/~AllFloat32() {}/
