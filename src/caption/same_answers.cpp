#include "same_answers.h"

namespace pixart::caption {

namespace {
constexpr size_t kTooMany = 8, kSeveral = 3;
}  // namespace

bool SameAnswers::add(const std::string& key, const std::string& caption) {
  if (is_over_) return false;
  if (keys_.empty()) caption_ = caption;
  is_over_ = caption != caption_;
  if (!is_over_) keys_.push_back(key);
  return !is_over_ && keys_.size() == kTooMany;
}

bool SameAnswers::is_all() const { return !is_over_ && keys_.size() >= kSeveral; }

}  // namespace pixart::caption
