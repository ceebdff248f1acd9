# breaks: the colours of transparent pixels reach into what CLIP sees
# file: src/score/clip_pixels.cpp
# tests: unit_score
s/product\(pixel\[i % 3\], pixel\[3\]\) : /product(pixel[i % 3], 255) : /
