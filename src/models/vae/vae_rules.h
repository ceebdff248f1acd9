// The conditions that an AutoencoderKL's configuration must meet.
#pragma once
#include "pixart/base/error.h"
#include "pixart/models/vae.h"

namespace pixart::models {

void add_problems(const VaeConfig& config, Problems& problems);

}  // namespace pixart::models
