# breaks: noise is drawn by the training thread, in float32 on the host, while the GPU has nothing to do
# file: src/train/objectives.cpp
# tests: fake_gpu_counts unit_train
s/losses\(batch, inputs, true, aligns/losses(batch, inputs_of(batch, setting_.draw(batch)), true, aligns/
