// Samplers that cannot draw from a model.
#pragma once
#include <string>
#include <vector>

#include "pixart/diffusion/diffusion_config.h"

namespace pixart::run {

// Adds why the sampler of a key cannot draw from a model with this prediction, if so. Of a name that no sampler has the rule of
// the key tells.
void add_sampler_problem(const std::string& key, const std::string& sampler, diffusion::Prediction prediction,
                         std::vector<std::string>& problems);

}  // namespace pixart::run
