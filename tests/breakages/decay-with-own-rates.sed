# breaks: weight decay depends on the learning rate of the parameter
# file: src/optim/rates.cpp
# tests: unit_optim
s/scaled\.weight_decay \/= factor;//
s/config\.weight_decay \/ factor/config.weight_decay/
