# breaks: a comparison of runs does not say that their losses are of different kinds
# file: src/report/curves.cpp
# tests: unit_report cli_report
s/^  if \(losses\.size\(\) < 2\) return "";/  if (losses.size() < 99) return "";/
