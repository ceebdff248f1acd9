# breaks: CMMD's centre square rounds half pixels up
# file: src/score/clip_pixels.cpp
# tests: unit_score
s|top = \(image\.height - side\) / 2, left = \(image\.width - side\) / 2|top = (image.height - side + 1) / 2, left = (image.width - side + 1) / 2|
