#include "pixart/run/alignment_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace pixart::run {

double AlignmentConfig::share_of(int64_t steps) const {
  if (!is_on()) return 0;
  return until ? double(std::min(*until, steps)) / double(steps) : 1;
}

std::vector<std::string> AlignmentConfig::problems(int64_t steps, int64_t depth) const {
  std::vector<std::string> result;
  if (!is_on()) return result;
  if (block >= depth)
    result.push_back(
        fmt::format("alignment.block {} is not a block of the model, whose last is {}", block, depth - 1));
  if (until && *until > steps)
    result.push_back(
        fmt::format("alignment.until {} is after the last of {} steps; leave it out", *until, steps));
  return result;
}

}  // namespace pixart::run
