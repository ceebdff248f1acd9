#include "pixart/data/check.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

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
  std::string sha256 = {};
  uint64_t bytes = 0;
  int width = 0, height = 0;
  std::vector<int64_t> tokens = {};  // of each caption
  std::optional<Rejection> rejection = {};
};

void check_shape(const CheckShape& shape, int height, int width) {
  if (!shape.aspect_buckets) return check_cover(height, width, int(shape.resolution), int(shape.resolution));
  const auto& buckets = aspect_buckets(int(shape.resolution));
  const auto& bucket = buckets[nearest_bucket(buckets, height, width)];
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

Look look_at(const Dataset& dataset, const CheckOptions& options, int64_t row) {
  Look look{.row = row, .known = dataset.row(row)};
  try {
    const Image image = dataset.image(row);
    look.width = image.width, look.height = image.height;
    dataset.on_sample(row, [&] {
      for (const auto& shape : options.shapes) check_shape(shape, image.height, image.width);
    });
    const std::string bytes = dataset.bytes(row);
    look.bytes = bytes.size();
    look.sha256 = formats::sha256(bytes);
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

struct Kind {
  std::unordered_set<std::string> distinct;
  std::vector<int64_t> characters, tokens;
  OpeningCounter openings;
};

class Summary {
 public:
  Summary(const Dataset& dataset, const CheckOptions& options)
      : options_(options), buckets_(aspect_buckets(1024)), in_bucket_(buckets_.size()) {
    report_.class_sizes.resize(dataset.class_names().size());
    // The examples are spread over the source.
    stride_ = std::max<int64_t>(1, dataset.size() / std::max<int64_t>(1, options.examples));
  }

  void add(const Look& look) {
    report_.bytes += look.bytes;
    if (is_thin(look.height, look.width))
      report_.thin.push_back(fmt::format("{} ({} x {})", look.known.key, look.width, look.height));
    width_.push_back(look.width);
    height_.push_back(look.height);
    ++in_bucket_[nearest_bucket(buckets_, look.height, look.width)];
    with_bytes_[look.sha256].push_back(look.known.key);
    if (look.known.label >= 0 && size_t(look.known.label) < report_.class_sizes.size())
      ++report_.class_sizes[size_t(look.known.label)];
    for (size_t i = 0; i < look.known.captions.size(); ++i) {
      const auto& caption = look.known.captions[i];
      auto& kind = kinds_[caption.name];
      kind.distinct.insert(caption.text);
      kind.characters.push_back(length_of(caption.text));
      kind.openings.add(caption.text, look.known.key);
      if (i < look.tokens.size()) kind.tokens.push_back(look.tokens[i]);
    }
    const bool is_due = look.row >= int64_t(report_.examples.size()) * stride_;
    if (is_due && int64_t(report_.examples.size()) < options_.examples)
      report_.examples.push_back(
          {.key = look.known.key,
           .caption = look.known.captions.empty() ? "" : look.known.captions.front().text,
           .width = look.width,
           .height = look.height});
  }

  CheckReport finish(Ledger ledger) {
    report_.ledger = std::move(ledger);
    report_.width = spread_of(width_);
    report_.height = spread_of(height_);
    for (size_t i = 0; i < buckets_.size(); ++i)
      if (in_bucket_[i] > 0) report_.aspects.emplace_back(buckets_[i].key, in_bucket_[i]);
    for (auto& [name, kind] : kinds_) {
      auto& out = report_.captions[name];
      out.captions = int64_t(kind.characters.size());
      out.distinct = int64_t(kind.distinct.size());
      out.cut = std::count_if(kind.tokens.begin(), kind.tokens.end(),
                              [this](int64_t tokens) { return tokens > options_.max_tokens; });
      out.openings = kind.openings.shared();
      out.characters = spread_of(std::move(kind.characters));
      out.tokens = spread_of(std::move(kind.tokens));
    }
    for (auto& [hash, keys] : with_bytes_)
      if (keys.size() > 1) report_.duplicates.push_back(std::move(keys));
    std::sort(report_.duplicates.begin(), report_.duplicates.end());
    return std::move(report_);
  }

 private:
  const CheckOptions& options_;
  const std::vector<AspectBucket>& buckets_;
  std::vector<int64_t> in_bucket_, width_, height_;
  std::unordered_map<std::string, std::vector<std::string>> with_bytes_;
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
  std::set<int64_t> listed;
  for (const auto& rejection : dataset.rejected()) listed.insert(rejection.row);
  const auto is_known = [&](int64_t row) { return listed.count(row) > 0 || dataset.is_left_out(row); };
  std::vector<Rejection> found;
  Summary summary(dataset, options);
  Progress progress("check " + config.name, dataset.size(), "sample");
  int64_t next_row = 0;
  Prefetch<int64_t, Look> looks(
      physical_cores(), 64,
      [&]() -> std::optional<int64_t> {
        return next_row < dataset.size() ? std::optional(next_row++) : std::nullopt;
      },
      [&](int64_t row) { return is_known(row) ? Look{.row = row} : look_at(dataset, options, row); });
  for (int64_t row = 0; auto look = looks.next(); ++row) {
    progress.update(row + 1);
    if (is_known(row)) continue;
    if (look->rejection)
      found.push_back(*look->rejection);
    else
      summary.add(*look);
  }
  return summary.finish(make_ledger(config.name, dataset, std::move(found)));
}

}  // namespace pixart::data
