#include "pixart/data/noun_statistics.h"

#include <algorithm>

#include "pixart/data/dataset.h"

namespace pixart::data {
namespace {

void count_all(const std::vector<uint32_t>& numbers, std::vector<int64_t>& counts) {
  for (const uint32_t number : numbers) {
    if (number >= counts.size()) counts.resize(std::max<size_t>(number + 1, 2 * counts.size()));
    ++counts[number];
  }
}

// The quantile: the smallest length that at least this share of the captions does not exceed.
int64_t length_at(const std::map<int64_t, int64_t>& lengths, int64_t captions, double share) {
  int64_t seen = 0;
  for (const auto& [words, count] : lengths) {
    seen += count;
    if (double(seen) >= share * double(captions)) return words;
  }
  return 0;
}

}  // namespace

const std::vector<PaperNouns>& paper_nouns() {
  static const std::vector<PaperNouns> rows = {{"LAION", "210K", "2461K", "8.5 %", "72.0M", "6.4"},
                                               {"LAION-LLaVA", "85K", "646K", "13.3 %", "233.9M", "20.9"},
                                               {"SAM-LLaVA", "23K", "124K", "18.6 %", "327.9M", "29.3"},
                                               {"Internal", "152K", "582K", "26.1 %", "136.6M", "12.2"}};
  return rows;
}

NounCounter::Kind& NounCounter::kind_of(const std::string& name) {
  for (auto& kind : kinds_)
    if (kind.name == name) return kind;
  return kinds_.emplace_back(Kind{name});
}

void NounCounter::add(const std::vector<Caption>& captions, const std::string& key) {
  for (size_t i = 0; i < captions.size(); ++i) {
    Kind& kind = kind_of(captions[i].name);
    const auto begin = captions.begin(), end = begin + int64_t(i);
    if (std::none_of(begin, end, [&](const Caption& other) { return other.name == kind.name; }))
      ++kind.images;
    kind.openings.add(captions[i].text, key);
    finder_.find(captions[i].text, found_);
    ++kind.lengths[found_.words];
    count_all(found_.nouns, kind.nouns);
    count_all(found_.unknown, with_unknown_ ? kind.nouns : kind.unknown);
  }
}

NounStatistics NounCounter::statistics_of(const Kind& kind) const {
  NounStatistics result{.source = source_, .kind = kind.name, .images = kind.images};
  for (const auto& [words, count] : kind.lengths) {
    result.captions += count;
    result.words += words * count;
  }
  result.openings = kind.openings.shared();
  result.words_5 = length_at(kind.lengths, result.captions, 0.05);
  result.words_median = length_at(kind.lengths, result.captions, 0.5);
  result.words_95 = length_at(kind.lengths, result.captions, 0.95);
  for (size_t number = 0; number < kind.nouns.size(); ++number) {
    const int64_t count = kind.nouns[number];
    if (count == 0) continue;
    result.total += count;
    result.valid += count > kValidAbove ? 1 : 0;
    result.by_count.emplace_back(finder_.name(uint32_t(number)), count);
  }
  result.distinct = int64_t(result.by_count.size());
  std::sort(result.by_count.begin(), result.by_count.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  for (const int64_t count : kind.unknown) {
    result.unknown_distinct += count > 0 ? 1 : 0;
    result.unknown_total += count;
  }
  return result;
}

std::vector<NounStatistics> NounCounter::statistics() const {
  std::vector<NounStatistics> result;
  for (const auto& kind : kinds_) result.push_back(statistics_of(kind));
  return result;
}

}  // namespace pixart::data
