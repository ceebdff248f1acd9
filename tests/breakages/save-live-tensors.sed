# breaks: a save writes the tensors that training goes on to change
# file: src/train/checkpoint_writer.cpp
# tests: unit_train
s/^ *tensors\[t\]\.tensor\.copy_\(.*/tensors[t].tensor = tensor.detach();/
