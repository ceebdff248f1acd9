#include "pixart/run/skipped_tokens.h"

#include <fmt/format.h>

#include <algorithm>

namespace pixart::run {

namespace {

void add_end_problem(const char* key, const std::optional<int64_t>& until, int64_t steps,
                     std::vector<std::string>& problems) {
  if (until && *until > steps)
    problems.push_back(
        fmt::format("{}.until {} is after the last of {} steps; leave it out", key, *until, steps));
}

void add_routing_problems(const RoutingConfig& routing, int64_t depth, std::vector<std::string>& problems) {
  if (!routing.to)
    problems.push_back(fmt::format(
        "routing.to is missing: the block before which the tokens join again, at most {}", depth));
  else if (*routing.to <= routing.from)
    problems.push_back(
        fmt::format("routing.to {} must be more than routing.from {}", *routing.to, routing.from));
  else if (*routing.to > depth)
    problems.push_back(
        fmt::format("routing.to {} is more than the {} blocks of the model", *routing.to, depth));
}

}  // namespace

double SkippedTokens::share_of(int64_t steps) const {
  if (rate == 0) return 0;
  return until ? double(std::min(*until, steps)) / double(steps) : 1;
}

SkippedTokens skipped_tokens(const RoutingConfig& routing, const MaskingConfig& masking, int64_t depth) {
  if (masking.rate > 0)
    return {.rate = masking.rate,
            .from = masking.after_blocks,
            .to = depth,
            .until = masking.until,
            .loss_of_kept = true};
  return {.rate = routing.rate,
          .from = routing.from,
          .to = routing.to.value_or(depth),
          .until = routing.until,
          .loss_of_kept = false};
}

std::vector<std::string> skipping_problems(const RoutingConfig& routing, const MaskingConfig& masking,
                                           int64_t steps, const SkippingModel& model) {
  std::vector<std::string> problems;
  if (routing.rate > 0 && masking.rate > 0)
    return {"routing and masking exclude each other: remove one of them"};
  if (routing.rate > 0) add_routing_problems(routing, model.depth, problems);
  if (routing.rate > 0) add_end_problem("routing", routing.until, steps, problems);
  if (masking.rate > 0) add_end_problem("masking", masking.until, steps, problems);
  if (masking.rate > 0 && masking.after_blocks >= model.depth)
    problems.push_back(fmt::format("masking.after_blocks {} leaves no block: the model has {}",
                                   masking.after_blocks, model.depth));
  const SkippedTokens skipped = skipped_tokens(routing, masking, model.depth);
  for (const int64_t block : model.compressed)
    if (skipped.rate > 0 && skipped.from <= block && block < skipped.to) {
      problems.push_back(fmt::format("kv_compression needs all tokens in block {}, but {} lets some skip it",
                                     block, skipped.loss_of_kept ? "masking" : "routing"));
      break;
    }
  return problems;
}

}  // namespace pixart::run
