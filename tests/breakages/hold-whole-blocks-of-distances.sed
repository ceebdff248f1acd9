# breaks: a block of distances has 2,048 rows, however long they are
# file: src/score/metrics.cpp
# tests: unit_score
s/return std::clamp<int64_t>\(kBytesOfBlock.*$/return kRows + 0 * columns;/
