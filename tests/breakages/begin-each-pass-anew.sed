# breaks: an epoch that begins within a pass of a source takes again what the epoch before has taken
# file: src/data/computed_order.cpp
# tests: unit_data
s/stretch\.skipped \+ index - stretch\.before/index - stretch.before/
