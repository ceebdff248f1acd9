# breaks: a scoring that was killed goes on in the middle of a batch
# file: src/score/row_scores.cpp
# tests: unit_score
s/number \/ range.block \* range.block; first > start.row/number + 1; first > start.row/
