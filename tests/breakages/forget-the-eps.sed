# breaks: the variance of a batch norm is folded into its convolution without eps
# file: src/score/batch_norm.cpp
# tests: unit_score
s/norm\.variance\.to\(at::kDouble\) \+ eps\)/norm.variance.to(at::kDouble) + 0 * eps)/
