# breaks: statistics of other settings end a run only when the stage that compares with them begins
# file: src/score/drawn_check.cpp
# tests: unit_score
s/^  check_protocol\(reference, config,$/  if (false) check_protocol(reference, config,/
