# breaks: the tokens that skip blocks depend on the place of a sample in its micro-batch
# file: src/train/token_draw.cpp
# tests: unit_train property_training
s/uint64_t\(position\), Purpose::kTokens/uint64_t(row - kept.data_ptr<int64_t>()), Purpose::kTokens/
