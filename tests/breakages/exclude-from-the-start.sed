# breaks: a sample that is found bad is also left out of the steps before the checkpoint
# file: src/data/order.cpp
# tests: unit_data unit_features
s/return found != from_\.end\(\) && position >= found->second;/return found != from_.end() \&\& position >= 0;/
