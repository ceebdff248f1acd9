// Maximal update parametrization (muP; Yang et al. 2022, arXiv 2203.03466): initial values and learning rates that let every
// layer's activations change by the same amount in a step, whatever the width. So the best learning rate of a narrow model is
// that of a wide one.
//
// It is in the form without multipliers (the paper's table 3): the model itself stays the published one, and so do its files.
// With m = width / base width and heads of d = width / heads channels, d0 at the base:
//   matrices whose input has the model's width:  deviation of initial values ~ 1 / sqrt(m), learning rate ~ 1 / m;
//   the final layer is one of them, and begins at zero: the same as an output multiplier 1 / m with a constant rate;
//   matrices with another input, tables, biases and norms: both constant;
//   queries: both times sqrt(d0 / d) more, which is the same as the attention scale sqrt(d0) / d in place of 1 / sqrt(d).
// The rates are those of Adam. Decoupled weight decay stays as it is, lr * weight_decay.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "pixart/models/transformer.h"

namespace pixart::models {

// By name, the factors of the learning rate for the equal parts in which the parameter is cut in its first dimension (the q, k
// and v of qkv); of most one part. Parameters that are not named have 1.
std::map<std::string, std::vector<double>> learning_rate_factors(const TransformerConfig& config,
                                                                 const WidthBase& base);

// The same model with the base's width and heads.
TransformerConfig at_base(const TransformerConfig& config, const WidthBase& base);

// sqrt(d0 / d) of the above.
double query_scale(const TransformerShape& shape, const WidthBase& base);

}  // namespace pixart::models
