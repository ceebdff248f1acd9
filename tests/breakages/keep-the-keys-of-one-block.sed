# breaks: a caption that is prepared for many timesteps has the first block's keys and values in all blocks
# file: src/models/pixart/pixart.cpp
# tests: unit_models
s/kept_of\(caption, i\)/kept_of(caption, 0)/
