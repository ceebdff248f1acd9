# breaks: FID's network counts the padding in its average pools, as torchvision's own does
# file: src/score/inception.cpp
# tests: unit_score
s/\/\*count_include_pad=\*\/false/\/*count_include_pad=*\/true/
