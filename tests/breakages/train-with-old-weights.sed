# breaks: after a checkpoint was loaded, layers in bfloat16 go on with the weights from before
# file: src/train/trainer.cpp
# tests: fake_gpu_product
/loader_\.start\(step_\);/,/\}/s/flat_\.round_values\(\);//
