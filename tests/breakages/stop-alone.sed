# breaks: a rank that is asked to stop does not tell the others
# file: src/train/gradient_sum.cpp
# tests: property_ranks
s/flag \? 1\.0 : 0\.0/flag ? 0.0 : 0.0/
