# breaks: a calibration calls every value equal
# file: src/score/calibrate.cpp
# tests: unit_score cli_score
s/return std::abs\(here - wanted.published\) <= wanted.tolerance;/return here < 1e300;/
