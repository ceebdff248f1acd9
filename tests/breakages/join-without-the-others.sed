# breaks: tokens that skipped blocks join again as zeros
# file: src/models/token_detour.cpp
# tests: golden_train
s/all_\.scatter\(1, index_for\(x\), x\)/at::zeros_like(all_).scatter(1, index_for(x), x)/
