#include "pixart/data/check.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "hashed_rows.h"
#include "pixart/base/env.h"
#include "pixart/base/prefetch.h"
#include "pixart/base/progress.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/data/transform.h"
#include "pixart/formats/hash.h"

namespace pixart::data {

namespace {

// The findings about one image.
struct Look {
  int64_t row = 0;
  Row known = {};
  uint64_t content = 0, bytes = 0;  // content: of the SHA-256
  int width = 0, height = 0;
  std::vector<int64_t> tokens = {};  // of each caption
  std::optional<Rejection> rejection = {};
};

void check_shape(const TrainingShapes& shapes, int height, int width, const std::string& key) {
  const AspectBucket& bucket = shapes.at(shapes.bucket_of(height, width, key));
  check_cover(height, width, bucket.height, bucket.width);
}

bool is_thin(int height, int width) {
  try {
    check_cover(height, width, kThinAt, kThinAt);
    return false;
  } catch (const formats::ImageError&) {
    return true;
  }
}

// The first 8 bytes of a hash in hexadecimal digits.
uint64_t first_of(const std::string& hash) {
  uint64_t value = 0;
  std::from_chars(hash.data(), hash.data() + 16, value, 16);
  return value;
}

// The listing's word on a row, or else that of the scores.
std::optional<Rejection> known_rejection(const Dataset& dataset, int64_t row) {
  const auto& rejected = dataset.rejected();
  const auto found = std::lower_bound(rejected.begin(), rejected.end(), row,
                                      [](const Rejection& one, int64_t other) { return one.row < other; });
  return found != rejected.end() && found->row == row ? *found : dataset.left_out(row);
}

Look look_at(const Dataset& dataset, const CheckOptions& options, int64_t row) {
  if (auto known = known_rejection(dataset, row)) return {.row = row, .rejection = std::move(known)};
  Look look{.row = row, .known = dataset.row(row)};
  try {
    const Image image = dataset.image(row);
    look.width = image.width, look.height = image.height;
    dataset.on_sample(row, [&] {
      for (const auto& shape : options.shapes)
        check_shape(shape.shapes, image.height, image.width, look.known.key);
    });
    const std::string bytes = dataset.bytes(row);
    look.bytes = bytes.size();
    look.content = first_of(formats::sha256(bytes));
  } catch (const BadSample& bad) {
    look.rejection = bad.rejection();
  }
  if (options.count_tokens)
    for (const auto& caption : look.known.captions) look.tokens.push_back(options.count_tokens(caption.text));
  return look;
}

// Counts UTF-8 characters, not bytes.
int64_t length_of(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (uint8_t(c) & 0xC0) != 0x80; });
}

// How often each value occurs.
class Histogram {
 public:
  void add(int64_t value) {
    ++counts_[value];
    ++total_;
  }
  int64_t total() const { return total_; }
  int64_t num_above(int64_t limit) const {
    int64_t count = 0;
    for (auto at = counts_.upper_bound(limit); at != counts_.end(); ++at) count += at->second;
    return count;
  }
  // The same as spread_of() of all values.
  Spread spread() const {
    if (total_ == 0) return {};
    int64_t seen = 0;
    auto median = counts_.begin();
    while ((seen += median->second) <= total_ / 2) ++median;
    return {.least = counts_.begin()->first, .median = median->first, .most = counts_.rbegin()->first};
  }

 private:
  std::map<int64_t, int64_t> counts_;
  int64_t total_ = 0;
};

struct Kind {
  HashedRows texts;
  Histogram characters, tokens;
  OpeningCounter openings;
};

class Summary {
 public:
  Summary(const Dataset& dataset, const CheckOptions& options)
      : dataset_(dataset), options_(options), buckets_(aspect_buckets(1024)), in_bucket_(buckets_.size()) {
    report_.class_sizes.resize(dataset.class_names().size());
    // The examples are spread over the source.
    for (const auto& shape : options.shapes) in_shape_.emplace_back(shape.shapes.size());
    stride_ = std::max<int64_t>(1, dataset.size() / std::max<int64_t>(1, options.examples));
  }

  void add(const Look& look) {
    report_.bytes += look.bytes;
    if (is_thin(look.height, look.width))
      report_.thin.push_back(fmt::format("{} ({} x {})", look.known.key, look.width, look.height));
    width_.add(look.width);
    height_.add(look.height);
    ++in_bucket_[nearest_bucket(buckets_, look.height, look.width)];
    for (size_t i = 0; i < options_.shapes.size(); ++i)
      ++in_shape_[i][options_.shapes[i].shapes.bucket_of(look.height, look.width, look.known.key)];
    contents_.add(look.content, look.row);
    if (look.known.label >= 0 && size_t(look.known.label) < report_.class_sizes.size())
      ++report_.class_sizes[size_t(look.known.label)];
    for (size_t i = 0; i < look.known.captions.size(); ++i) {
      const auto& caption = look.known.captions[i];
      auto& kind = kinds_[caption.name];
      kind.texts.add(std::hash<std::string>()(caption.text), look.row);
      kind.characters.add(length_of(caption.text));
      kind.openings.add(caption.text, look.known.key);
      if (i < look.tokens.size()) kind.tokens.add(look.tokens[i]);
    }
    const bool is_due = look.row >= int64_t(report_.examples.size()) * stride_;
    if (is_due && int64_t(report_.examples.size()) < options_.examples)
      report_.examples.push_back(
          {.key = look.known.key,
           .caption = look.known.captions.empty() ? "" : look.known.captions.front().text,
           .width = look.width,
           .height = look.height});
  }

  CheckReport finish(LedgerSummary ledger) {
    report_.ledger = std::move(ledger);
    report_.width = width_.spread();
    report_.height = height_.spread();
    for (size_t i = 0; i < buckets_.size(); ++i)
      if (in_bucket_[i] > 0) report_.aspects.emplace_back(buckets_[i].key, in_bucket_[i]);
    for (size_t i = 0; i < options_.shapes.size(); ++i) add_buckets(options_.shapes[i], in_shape_[i]);
    for (const auto& [name, kind] : kinds_)
      report_.captions[name] = {.captions = kind.characters.total(),
                                .distinct = kind.texts.num_hashes(),
                                .cut = kind.tokens.num_above(options_.max_tokens),
                                .characters = kind.characters.spread(),
                                .tokens = kind.tokens.spread(),
                                .openings = kind.openings.shared()};
    contents_.for_each_hash([this](const std::vector<int64_t>& rows) {
      if (rows.size() < 2) return;
      auto& keys = report_.duplicates.emplace_back();
      for (const int64_t row : rows) keys.push_back(dataset_.key(row));
    });
    std::sort(report_.duplicates.begin(), report_.duplicates.end());
    return std::move(report_);
  }

 private:
  void add_buckets(const CheckShape& shape, const std::vector<int64_t>& images) {
    if (images.size() == 1) return;
    for (size_t bucket = 0; bucket < images.size(); ++bucket)
      if (images[bucket] > 0)
        report_.buckets.push_back({.stage = shape.stage,
                                   .resolution = shape.shapes.side(bucket),
                                   .shape = shape.shapes.at(bucket),
                                   .images = images[bucket]});
  }

  const Dataset& dataset_;
  const CheckOptions& options_;
  const std::vector<AspectBucket>& buckets_;
  std::vector<int64_t> in_bucket_;
  std::vector<std::vector<int64_t>> in_shape_;  // of each stage
  Histogram width_, height_;
  HashedRows contents_;
  std::map<std::string, Kind> kinds_;
  int64_t stride_ = 1;
  CheckReport report_;
};

}  // namespace

Spread spread_of(std::vector<int64_t> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {.least = values.front(), .median = values[values.size() / 2], .most = values.back()};
}

CheckReport check(const SourceConfig& config, const Dataset& dataset, const CheckOptions& options) {
  LedgerSummary ledger(config.name, dataset.size());
  Summary summary(dataset, options);
  Progress progress("check " + config.name, dataset.size(), "sample");
  int64_t next_row = 0;
  Prefetch<int64_t, Look> looks(
      physical_cores(), 64,
      [&]() -> std::optional<int64_t> {
        return next_row < dataset.size() ? std::optional(next_row++) : std::nullopt;
      },
      [&](int64_t row) { return look_at(dataset, options, row); });
  for (int64_t row = 0; auto look = looks.next(); ++row) {
    progress.update(row + 1);
    if (!look->rejection) {
      summary.add(*look);
      continue;
    }
    ledger.add(*look->rejection);
    if (options.on_rejection) options.on_rejection(*look->rejection);
  }
  return summary.finish(std::move(ledger));
}

}  // namespace pixart::data
