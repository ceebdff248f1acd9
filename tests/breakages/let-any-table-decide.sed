# breaks: a folder is a table because of any table in it
# file: src/data/recognise.cpp
# tests: unit_data
s/^  if \(start.rows == 0\) return Listed::kNo;/  return Listed::kCaptions;/
