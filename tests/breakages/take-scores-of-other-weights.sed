# breaks: a model card shows scores of the EMA as if they were of the trained weights
# file: src/train/run_card.cpp
# tests: unit_train
s/return is_of_ema == is_ema \? ""/return true ? ""/
