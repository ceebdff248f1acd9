# breaks: a row with NaN is not JSON
# file: src/data/json_text.cpp
# tests: unit_data
s/return has_numbers \|\| has_halves \?/return !has_numbers \&\& has_halves ?/
