# breaks: rows that the scores of a source leave out are trained on
# file: src/data/scores.cpp
# tests: unit_data
s/if \(verdict_of_\[row\] != 0 \|\| weights_\[row\] == kNoWeight\) weights_\[row\] = 0;/if (verdict_of_[row] != 0) weights_[row] = 1;/
