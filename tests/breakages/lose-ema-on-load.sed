# breaks: the average of the weights is not restored
# file: src/train/checkpoint.cpp
# tests: unit_train
s/restore\(ema_tensors\(trainer, model\), \{ema_file/restore((ema_tensors(trainer, model), std::vector<formats::NamedTensor>()), {ema_file/
