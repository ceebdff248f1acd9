# breaks: where tokens skip the aligned block, the others are aligned with the features of other places
# file: src/train/objectives.cpp
# tests: golden_train
s/features = features\.gather\(1, kept\.expand\(\{-1, -1, features\.size\(2\)\}\)\);/features = features.narrow(1, 0, tokens.size(1));/
