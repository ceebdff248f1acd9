# breaks: at inference the shapes of 2,048 pixels are those of the smaller resolutions
# file: src/data/aspect_bucket.cpp
# tests: golden_data
s/\(resolution == 2048 \? kAt2048/(resolution == 0 ? kAt2048/
