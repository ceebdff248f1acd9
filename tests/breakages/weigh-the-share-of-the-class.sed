# breaks: the loss of class images has the weight of their share of the samples, not of their mean
# file: src/features/stage_data.cpp
# tests: golden_train unit_features
s/\*part\.prior_weight \* \(own \+ prior\) \/ prior/*part.prior_weight/
