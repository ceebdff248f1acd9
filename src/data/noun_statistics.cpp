#include "pixart/data/noun_statistics.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
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

namespace {

template <class Kind>
Kind& kind_in(std::vector<Kind>& kinds, const std::string& name) {
  for (auto& kind : kinds)
    if (kind.name == name) return kind;
  return kinds.emplace_back(Kind{name});
}

}  // namespace

void NounBlock::add(text::NounFinder& finder, const std::vector<Caption>& captions, const std::string& key) {
  for (size_t i = 0; i < captions.size(); ++i) {
    Kind& kind = kind_in(kinds_, captions[i].name);
    const auto begin = captions.begin(), end = begin + int64_t(i);
    if (std::none_of(begin, end, [&](const Caption& other) { return other.name == kind.name; }))
      ++kind.images;
    kind.openings.add(captions[i].text, key);
    finder.find(captions[i].text, found_);
    kind.lengths.push_back(found_.words);
    kind.nouns.insert(kind.nouns.end(), found_.nouns.begin(), found_.nouns.end());
    std::move(found_.unknown.begin(), found_.unknown.end(), std::back_inserter(kind.unknown));
  }
}

void NounCounter::add_block(const NounBlock& block) {
  for (const auto& from : block.kinds_) {
    Kind& kind = kind_in(kinds_, from.name);
    kind.images += from.images;
    kind.openings.add_block(from.openings);
    for (const int64_t words : from.lengths) ++kind.lengths[words];
    count_all(from.nouns, kind.nouns);
    for (const auto& word : from.unknown) {
      if (with_unknown_)
        ++kind.unknown_nouns[word];
      else
        kind.unknown.insert(std::hash<std::string>()(word));
    }
    kind.unknown_total += with_unknown_ ? 0 : int64_t(from.unknown.size());
  }
}

void NounCounter::add(const std::vector<Caption>& captions, const std::string& key) {
  NounBlock block;
  block.add(finder_, captions, key);
  add_block(block);
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
  for (size_t number = 0; number < kind.nouns.size(); ++number)
    if (kind.nouns[number] > 0)
      result.by_count.emplace_back(finder_.name(uint32_t(number)), kind.nouns[number]);
  result.by_count.insert(result.by_count.end(), kind.unknown_nouns.begin(), kind.unknown_nouns.end());
  for (const auto& [noun, count] : result.by_count) {
    result.total += count;
    result.valid += count > kValidAbove ? 1 : 0;
  }
  result.distinct = int64_t(result.by_count.size());
  std::sort(result.by_count.begin(), result.by_count.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  result.unknown_distinct = int64_t(kind.unknown.size());
  result.unknown_total = kind.unknown_total;
  return result;
}

std::vector<NounStatistics> NounCounter::statistics() const {
  std::vector<NounStatistics> result;
  for (const auto& kind : kinds_) result.push_back(statistics_of(kind));
  return result;
}

namespace {

constexpr int64_t kRowsAtOnce = 512;

// A finder for each thread that works at the same time.
class Finders {
 public:
  explicit Finders(const text::NounFinder& origin) : origin_(origin) {}
  std::unique_ptr<text::NounFinder> take() {
    const std::scoped_lock lock(mutex_);
    if (free_.empty()) return std::make_unique<text::NounFinder>(origin_);
    auto finder = std::move(free_.back());
    free_.pop_back();
    return finder;
  }
  void give_back(std::unique_ptr<text::NounFinder> finder) {
    const std::scoped_lock lock(mutex_);
    free_.push_back(std::move(finder));
  }

 private:
  const text::NounFinder& origin_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<text::NounFinder>> free_;
};

// Of the rows from `first` on.
struct RowBlock {
  NounBlock nouns = {};
  std::vector<Reason> not_counted = {};
};

RowBlock block_of(const Dataset& dataset, text::NounFinder& finder, int64_t first) {
  RowBlock block;
  const auto& rejected = dataset.rejected();
  auto bad = std::lower_bound(rejected.begin(), rejected.end(), first,
                              [](const Rejection& one, int64_t row) { return one.row < row; });
  for (int64_t i = first; i < std::min(first + kRowsAtOnce, dataset.size()); ++i) {
    if (bad != rejected.end() && bad->row == i) {
      block.not_counted.push_back(bad->reason);
      ++bad;
    } else if (dataset.is_left_out(i)) {
      block.not_counted.push_back(dataset.selection()->verdict(i)->reason);
    } else {
      const Row row = dataset.row(i);
      block.nouns.add(finder, row.captions, row.key);
    }
  }
  return block;
}

}  // namespace

CountedNouns count_nouns(const Dataset& dataset, text::NounFinder& finder, const std::string& source,
                         bool with_unknown, int threads) {
  if (threads == 0) threads = physical_cores();
  constexpr int64_t kBlocksOfThread = 4;
  Finders finders(finder);
  int64_t next_row = 0;
  Prefetch<int64_t, RowBlock> blocks(
      threads, kBlocksOfThread * threads,
      [&]() -> std::optional<int64_t> {
        if (next_row >= dataset.size()) return std::nullopt;
        return std::exchange(next_row, next_row + kRowsAtOnce);
      },
      [&](int64_t first) {
        auto own = finders.take();
        RowBlock block = block_of(dataset, *own, first);
        finders.give_back(std::move(own));
        return block;
      });
  NounCounter counter(finder, source, with_unknown);
  CountedNouns counted;
  Progress progress("count the nouns of " + source, dataset.size(), "image");
  for (int64_t done = kRowsAtOnce; const auto block = blocks.next(); done += kRowsAtOnce) {
    counter.add_block(block->nouns);
    for (const Reason reason : block->not_counted) ++counted.not_counted[std::string(to_string(reason))];
    progress.update(done);
  }
  counted.kinds = counter.statistics();
  return counted;
}

}  // namespace pixart::data
