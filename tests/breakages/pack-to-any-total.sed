# breaks: packed captions have a shape of their own for each number of tokens
# file: src/nn/layers.cpp
# tests: unit_nn fake_gpu_counts fake_gpu_count_step
s|return rounded_up\(total, unit_of_totals\(batch, most\)\);|return rounded_up(total, kLengthMultiple) + 0 * (batch + most);|
