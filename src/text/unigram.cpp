#include "unigram.h"

#include <algorithm>
#include <limits>

#include "unicode.h"

namespace pixart::text {
namespace {

constexpr float kUnknownPenalty = 10;  // subtracted from the score of the least likely piece

}  // namespace

UnigramSegmenter::UnigramSegmenter(const std::vector<Piece>& pieces, int64_t unknown_id)
    : unknown_id_(unknown_id) {
  float lowest = std::numeric_limits<float>::max();
  for (const Piece& piece : pieces) {
    pieces_.emplace(piece.text, Entry{piece.score, piece.id});
    longest_ = std::max(longest_, piece.text.size());
    lowest = std::min(lowest, piece.score);
  }
  unknown_score_ = lowest - kUnknownPenalty;
}

// For each byte position, the best segmentation up to it. The order of the float additions and the strict
// comparison decide between equal segmentations.
std::vector<UnigramSegmenter::Step> UnigramSegmenter::best_steps(std::string_view text) const {
  std::vector<Step> best(text.size() + 1);
  const auto offer = [&](size_t start, size_t end, float score, int64_t id) {
    const float total = score + best[start].score;
    if (best[end].id < 0 || total > best[end].score) best[end] = {total, start, id};
  };
  for (size_t start = 0; start < text.size();) {
    size_t end = start;
    next_code_point(text, end);
    const size_t next = end;
    bool has_single = false;
    while (end - start <= longest_) {
      if (const auto found = pieces_.find(text.substr(start, end - start)); found != pieces_.end()) {
        offer(start, end, found->second.score, found->second.id);
        has_single = has_single || end == next;
      }
      if (end == text.size()) break;
      next_code_point(text, end);
    }
    if (!has_single) offer(start, next, unknown_score_, unknown_id_);
    start = next;
  }
  return best;
}

void UnigramSegmenter::append_ids(std::string_view normalized, std::vector<int64_t>& ids) const {
  const std::vector<Step> best = best_steps(normalized);
  std::vector<int64_t> reversed;
  for (size_t end = normalized.size(); end > 0; end = best[end].start)
    if (best[end].id != unknown_id_ || reversed.empty() || reversed.back() != unknown_id_)
      reversed.push_back(best[end].id);
  ids.insert(ids.end(), reversed.rbegin(), reversed.rend());
}

}  // namespace pixart::text
