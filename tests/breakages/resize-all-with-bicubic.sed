# breaks: images of 2,048 pixels are resized as all others, without PixArt-Sigma's filter
# file: src/data/aspect_bucket.cpp
# tests: unit_data
s/resolution == 2048 \? Filter::kLanczos : Filter::kBicubic/Filter::kBicubic/
