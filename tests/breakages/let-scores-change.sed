# breaks: another file of scores is noticed only by the checkpoint, without the key to set back
# file: src/train/inputs.cpp
# tests: cli_data_score
s/^    compare_scores\(now, stage, \*facts, is_finished, comparison\);/    (void)compare_scores;/
