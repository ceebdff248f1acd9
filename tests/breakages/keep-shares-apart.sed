# breaks: ranks do not tell each other their share of the new weights
# file: src/train/trainer.cpp
# tests: property_ranks
s/^  spread_values\(\);//
