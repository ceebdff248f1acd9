# breaks: a sampler waits for the GPU at each step, when its noise is copied
# file: src/sample/generate.cpp
# tests: fake_gpu_counts
s|return nn::on_device\((noise_of\(options, first, count, spec, Purpose::kSamplerNoise, step\)), device\);|return \1.to(device);|
