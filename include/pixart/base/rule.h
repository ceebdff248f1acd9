// The vocabulary of config keys. It is in `base`, so that any component can describe its own config struct
// without depending on the reader (module `config`). A struct describes itself with one line per key:
//
//   struct AdamWConfig {
//     double lr = 2e-5;
//     std::vector<double> betas = {0.9, 0.999};
//     template <class Self, class Visitor> static void fields(Self& s, Visitor&& v) {
//       v("lr", s.lr, "Peak learning rate, reached after warm-up.", positive());
//       v("betas", s.betas, "Decay rates of the two moments.", in_range(0, 1).count(2));
//     }
//   };
//
// Field types: bool, int64_t, double, std::string, std::filesystem::path, std::vector or std::optional of
// these or of structs, nested structs. A key without a default is marked required().
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pixart {

// Whether a key may change in a run that has begun. kByContent: it says where something is, which may move, but
// what is there must be the same.
enum class OnResume { kFixed, kByContent, kNeedsPermission, kFree };

struct Rule {
  std::optional<double> at_least, at_most, more_than, less_than;  // numbers (or each element of a list)
  std::vector<std::string> words;                                 // allowed strings
  std::optional<size_t> length;                                   // exact length of a list
  bool is_required = false;                                       // no default
  OnResume on_resume = OnResume::kFixed;
  std::string effect;  // what --allow-change does with this key: a clause, after a colon

  Rule required() const {
    Rule r = *this;
    r.is_required = true;
    return r;
  }
  Rule count(size_t n) const {
    Rule r = *this;
    r.length = n;
    return r;
  }
  Rule free() const {
    Rule r = *this;
    r.on_resume = OnResume::kFree;
    return r;
  }
  // `effect`: what a permitted change does, e.g. "the next steps use it".
  Rule needs_permission(std::string effect) const {
    Rule r = *this;
    r.on_resume = OnResume::kNeedsPermission;
    r.effect = std::move(effect);
    return r;
  }
  Rule by_content(std::string effect) const {
    Rule r = *this;
    r.on_resume = OnResume::kByContent;
    r.effect = std::move(effect);
    return r;
  }
};

// Bounds of keys of one kind. They are far beyond what is useful, and keep every product of sizes below 2^63.
inline constexpr double kMostSteps = 1e9;      // of a stage, and between two events
inline constexpr double kMostOfAStep = 1e6;    // samples
inline constexpr double kWidestLayer = 65536;  // channels
inline constexpr double kMostLayers = 1024;
inline constexpr double kLargestSide = 16384;  // of an image, in pixels

inline Rule any() { return {}; }
inline Rule required() { return Rule{}.required(); }
inline Rule positive() {
  Rule r;
  r.more_than = 0;
  return r;
}
inline Rule not_negative() {
  Rule r;
  r.at_least = 0;
  return r;
}
inline Rule at_least(double low) {
  Rule r;
  r.at_least = low;
  return r;
}
inline Rule in_range(double low, double high) {
  Rule r;
  r.at_least = low;
  r.at_most = high;
  return r;
}  // inclusive
inline Rule positive_up_to(double high) {
  Rule r = positive();
  r.at_most = high;
  return r;
}
inline Rule one_of(std::vector<std::string> words) {
  Rule r;
  r.words = std::move(words);
  return r;
}

}  // namespace pixart
