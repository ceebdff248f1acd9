# breaks: a calibration computes its values of files with any content
# file: src/score/calibrate.cpp
# tests: cli_score
s/if \(own != file.sha256\)/if (own.empty())/
