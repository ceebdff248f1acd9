#include "sample_recipe.h"

#include <charconv>
#include <cstdint>
#include <limits>

#include "pixart/base/error.h"

namespace pixart::tools {

namespace {

// The same as in the options of `pixart sample`.
constexpr int kLeastSide = 8, kMostSide = 16384, kMostSteps = 1000;
constexpr double kLeastGuidance = 1, kMostGuidance = 100;
constexpr int64_t kMostIndex = int64_t{1} << 53;

class Numbers {
 public:
  explicit Numbers(const std::map<std::string, std::string>& text) : text_(text) {}

  template <class Number>
  void in_range(const char* key, Number least, Number most) {
    const auto found = text_.find(key);
    if (found == text_.end()) return;
    const std::string& value = found->second;
    Number number{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size())
      return problems_.add(fmt::format("{} '{}' is not such a number", key, value));
    if (!(number >= least && number <= most))
      problems_.add(fmt::format("{} is {}; allowed is {} to {}", key, value, least, most));
  }
  bool has(const char* key) const {
    const auto found = text_.find(key);
    return found != text_.end() && !found->second.empty();
  }
  const Problems& problems() const { return problems_; }

 private:
  const std::map<std::string, std::string>& text_;
  Problems problems_;
};

}  // namespace

void check_recipe(const std::map<std::string, std::string>& text, const std::filesystem::path& image) {
  Numbers numbers(text);
  numbers.in_range<int64_t>("height", kLeastSide, kMostSide);
  numbers.in_range<int64_t>("width", kLeastSide, kMostSide);
  numbers.in_range<uint64_t>("seed", 0, std::numeric_limits<uint64_t>::max());
  numbers.in_range<int64_t>("index", 0, kMostIndex);
  numbers.in_range<int64_t>("num_steps", 1, kMostSteps);
  numbers.in_range<double>("guidance", kLeastGuidance, kMostGuidance);
  numbers.in_range<int64_t>("tile_size", 0, kMostSide);
  if (numbers.has("stage")) numbers.in_range<int64_t>("step", 0, kMostIndex);
  numbers.problems().throw_if_any(image.string() + ": the PNG text");
}

}  // namespace pixart::tools
