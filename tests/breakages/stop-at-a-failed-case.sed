# breaks: a case of a calibration that cannot be computed costs the values of all others
# file: src/score/calibrate.cpp
# tests: cli_score
s/^    result.problem = failure.what\(\);/    throw UserError(failure.what());/
