// EMA weights of any length, from the power EMAs that a stage stored while it trained (optim/power_ema.h).
#pragma once
#include <filesystem>

#include "pixart/formats/weights.h"

namespace pixart::convert {

// `folder`: <run>/power_ema/STAGE. The EMA of `length` (a share of the training) as it would be at the last of its files;
// each tensor is a float32 sum over all of them, made when it is read. Throws UserError if the folder has no such files, if
// one has other tensors than its lengths say or more updates than steps, or if they do not fit each other.
formats::Weights power_ema_weights(const std::filesystem::path& folder, double length);

}  // namespace pixart::convert
