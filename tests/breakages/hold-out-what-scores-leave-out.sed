# breaks: images are held out of all rows, and others are read in the place of those that the scores leave out
# file: src/train/stage_autoencoder.cpp
# tests: cli_data_score
s/evenly_spread_rows\(images->size\(\), left_out, /evenly_spread_rows(images->size(), {}, /
