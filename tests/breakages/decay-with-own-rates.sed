# breaks: weight decay depends on the learning rate of the parameter
# file: src/optim/rates.cpp
# tests: unit_optim
s/config\.weight_decay \/ factor/config.weight_decay/
