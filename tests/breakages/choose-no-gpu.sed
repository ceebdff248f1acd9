# breaks: the main thread of a rank does not choose its GPU, so that its events make a context on the first one
# file: src/nn/device.cpp
# tests: fake_gpu_product
s/c10::impl::VirtualGuardImpl\(at::kCUDA\)\.setDevice\(device\);//
