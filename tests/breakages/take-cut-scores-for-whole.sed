# breaks: a file of scores that was cut off counts as finished
# file: src/score/row_scores.cpp
# tests: unit_score
s/^  require_all_rows\(path, dataset, range, has_line\);/  (void)require_all_rows;/
