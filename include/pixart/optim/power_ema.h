// EMAs of the weights with a power function as profile (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of
// Diffusion Models", EDM2), and how an EMA of any length is made from stored ones after training. No torch.
//
// After t updates the weights of update i have the share (i^(g+1) - (i-1)^(g+1)) / t^(g+1), g >= 0. The length of an EMA is the
// standard deviation of that profile as a share of the training: 0.1 remembers about its last tenth.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/base/rule.h"

namespace pixart::optim {

inline constexpr double kShortestEma = 0.005, kLongestEma = 0.28;

struct PowerEmaConfig {
  int64_t every = 0;
  std::vector<double> lengths = {0.05, 0.1};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("every", s.every,
      "Keep two EMAs with power profiles, and store them every N steps and at the end, in <run>/power_ema/STAGE; "
      "0: neither.",
      in_range(0, kMostSteps));
    v("lengths", s.lengths,
      "Their two lengths, as shares of the training (EDM2's relative standard deviation). pixart convert "
      "--ema-length makes any other length from them.",
      in_range(kShortestEma, kLongestEma));
  }
  bool stores(int64_t step, int64_t last) const { return every > 0 && (step % every == 0 || step == last); }
  void validate(std::vector<std::string>& problems) const;
};

double power_of_length(double length);  // g
double power_decay(double power,
                   int64_t updates);  // after the given number of updates, at least 1; ema_update()'s decay

// An EMA as it was after `updates` updates.
struct PowerProfile {
  double power = 0;
  int64_t updates = 1;
};
// The factors of `stored` whose sum is nearest to `wanted` in the least-squares sense over the profiles; they add up to 1.
// `stored` is not empty.
std::vector<double> mixture(const std::vector<PowerProfile>& stored, const PowerProfile& wanted);

// "pixart.power_ema" in the metadata of files with stored EMAs; their tensors are called "<index of the length>.<name>".
inline constexpr const char* kPowerEmaKey = "pixart.power_ema";
struct StoredEmas {
  int64_t updates = 1;
  std::vector<double> lengths = {};
};
std::string text_of(const StoredEmas& stored);
// Throws UserError, also if two lengths are equal or one is outside their range.
StoredEmas parse_stored_emas(const std::string& text, const std::string& subject);

}  // namespace pixart::optim
