# breaks: with learning rates of parts (muP), layers in bfloat16 on a GPU go on with the first weights
# file: src/optim/rates.cpp
# tests: fake_gpu_product
s/\.rounded = part\(parameters\.rounded\(\)\)/.rounded = {}/
