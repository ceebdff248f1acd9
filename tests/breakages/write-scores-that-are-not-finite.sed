# breaks: scores that are not finite are written as null, as if a row had none
# file: src/score/row_scorer.cpp
# tests: unit_score
s/^  if \(!std::isfinite\(value\)\)/  if (false)/
