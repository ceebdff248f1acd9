# breaks: between the blocks that threads count, a row is not counted
# file: src/data/noun_statistics.cpp
# tests: unit_data
s/std::exchange\(next_row, next_row \+ kRowsAtOnce\)/std::exchange(next_row, next_row + kRowsAtOnce + 1)/
