// The best segmentation of a text into the pieces of a unigram model.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pixart::text {

// SentencePiece has this too, but its releases up to 0.2.1 compare sums of float with sums of double
// precision. Of two equally good segmentations ("000" as 00 0 or 0 00) they may choose another one than later
// releases and transformers.
class UnigramSegmenter {
 public:
  struct Piece {
    std::string text;
    float score = 0;  // log probability
    int64_t id = 0;
  };
  UnigramSegmenter() = default;
  UnigramSegmenter(const std::vector<Piece>& pieces, int64_t unknown_id);

  // `normalized` is valid UTF-8. Neighbouring characters without a piece become one unknown.
  void append_ids(std::string_view normalized, std::vector<int64_t>& ids) const;

 private:
  struct Step {
    float score = 0;
    size_t start = 0;
    int64_t id = -1;  // -1: none yet
  };
  std::vector<Step> best_steps(std::string_view text) const;

  struct Entry {
    float score = 0;
    int64_t id = 0;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> pieces_;
  size_t longest_ = 0;  // bytes
  int64_t unknown_id_ = 0;
  float unknown_score_ = 0;
};

}  // namespace pixart::text
