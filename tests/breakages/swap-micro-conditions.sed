# breaks: the model is told the aspect ratio as the size, and the height as the aspect ratio
# file: src/train/objectives.cpp
# tests: golden_train unit_train
s/\.image_size = batch\.image_size,/.image_size = batch.aspect_ratio.defined() ? batch.aspect_ratio.expand({-1, 2}) : at::Tensor(),/
s/\.aspect_ratio = batch\.aspect_ratio\}/.aspect_ratio = batch.image_size.defined() ? batch.image_size.narrow(1, 0, 1) : at::Tensor()}/
