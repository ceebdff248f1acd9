# breaks: a stage that encodes images in its steps mirrors others than a stage with stored latents
# file: src/features/stage_images.cpp
# tests: unit_features property_on_the_fly
s/uint64_t\(position\), Purpose::kFlip\}/uint64_t(position), Purpose::kCrop}/
