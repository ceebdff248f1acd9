// Notices a model that sees no image: its first answers are one sentence for different images.
#pragma once
#include <string>
#include <vector>

namespace pixart::caption {

class SameAnswers {
 public:
  // Returns true at the answer that makes them too many.
  bool add(const std::string& key, const std::string& caption);
  const std::vector<std::string>& keys() const { return keys_; }
  const std::string& caption() const { return caption_; }
  // Whether all answers so far, several, were the same.
  bool is_all() const;
  bool is_over() const { return is_over_; }

 private:
  std::vector<std::string> keys_;
  std::string caption_;
  bool is_over_ = false;  // two answers differ, so the model sees images
};

}  // namespace pixart::caption
