# breaks: the model is told the aspect ratio as the size, and the height as the aspect ratio
# file: src/train/objectives.cpp
# tests: golden_train unit_train
s/on_device\(batch\.image_size, device\)/on_device(batch.aspect_ratio.expand({-1, 2}), device)/
t
s/on_device\(batch\.aspect_ratio, device\)/on_device(batch.image_size.narrow(1, 0, 1), device)/
