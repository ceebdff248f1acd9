#include "placed_rows.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "caption_text.h"
#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/parallel.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {

namespace {

constexpr int64_t kBlock = 4096;  // rows; part of the fingerprint
constexpr int64_t kMostClasses = 1'000'000;
constexpr size_t kMostNamed = 20;
constexpr int kThreads = 8;

using CaptionsByKey = std::unordered_map<std::string, std::vector<std::string>>;

// The captions of a row that the config asks for.
class CaptionRules {
 public:
  explicit CaptionRules(const SourceConfig& config)
      : kinds_(config.captions), joined_(config.captions.size()) {
    for (size_t kind = 0; kind < kinds_.size(); ++kind)
      if (!kinds_[kind].from.empty())
        read_caption_file(kinds_[kind].from, [&](CaptionLine& line) {
          return joined_[kind].emplace(std::move(line.key), std::move(line.texts)).second;
        });
  }
  const std::vector<CaptionConfig>& kinds() const { return kinds_; }

  // The kinds in the order of the config, with weights, trimmed. `fault`: of the first that is not valid.
  std::vector<Caption> choose(PlacedRow& row, std::optional<ReadFault>& fault) const {
    std::vector<Caption> chosen = kinds_.empty() ? std::move(row.captions) : std::vector<Caption>();
    for (size_t kind = 0; kind < kinds_.size(); ++kind) add_kind(kind, row, chosen);
    for (auto& caption : chosen) {
      auto found = clean_caption_text(caption.text);
      if (found && !fault) fault = {found->reason, caption.name + ": " + found->detail};
    }
    std::erase_if(chosen, [](const Caption& caption) { return caption.text.empty(); });
    return chosen;
  }

 private:
  // Captions of one kind share its weight.
  void add_kind(size_t kind, const PlacedRow& row, std::vector<Caption>& chosen) const {
    const auto& wanted = kinds_[kind];
    std::vector<std::string> texts;
    if (wanted.from.empty()) {
      for (const auto& caption : row.captions)
        if (caption.name == wanted.name && !caption.text.empty()) texts.push_back(caption.text);
    } else if (const auto found = joined_[kind].find(row.key); found != joined_[kind].end()) {
      for (const auto& text : found->second)
        if (!text.empty()) texts.push_back(text);
    }
    for (const auto& text : texts)
      chosen.push_back({.name = wanted.name, .text = text, .weight = wanted.weight / double(texts.size())});
  }

  std::vector<CaptionConfig> kinds_;
  std::vector<CaptionsByKey> joined_;
};

class Lister;

class PlacedDataset : public Dataset {
 public:
  PlacedDataset(const SourceConfig& config, PlacedRows rows, CaptionRules captions)
      : subject_(subject_of(config)), rows_(std::move(rows)), captions_(std::move(captions)) {}
  int64_t size() const override { return rows_.size; }
  Row row(int64_t index) const override {
    PIXART_CHECK(index >= 0 && index < size(), "sample {} of {}", index, size());
    PlacedRow read = rows_.read(index);
    Row row{.label = label(index)};
    std::optional<ReadFault> fault = read.fault;
    if (!fault) row.captions = captions_.choose(read, fault);
    row.key = std::move(read.key);
    if (fault && !is_rejected_[size_t(index)])
      throw SourceChanged(fmt::format("{}: {} has changed since it was listed: {}. Start the command again.",
                                      subject_, printable(row.key), fault->detail));
    return row;
  }
  int64_t label(int64_t index) const override { return labels_.empty() ? -1 : labels_[size_t(index)]; }
  const std::vector<std::string>& class_names() const override { return rows_.class_names; }
  const std::vector<Rejection>& rejected() const override { return rejected_; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  friend class Lister;
  std::string read_bytes_of(int64_t index) const override {
    try {
      return rows_.image(index);
    } catch (const ReadFault& fault) {
      const PlacedRow read = rows_.read(index);
      throw BadSample({.row = index,
                       .key = read.key,
                       .offset = read.offset,
                       .reason = fault.reason,
                       .detail = fault.detail});
    }
  }

  std::string subject_;
  PlacedRows rows_;
  CaptionRules captions_;
  std::vector<int32_t> labels_;  // empty: the source has no classes
  std::vector<bool> is_rejected_;
  std::vector<Rejection> rejected_;
  std::string fingerprint_;
};

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What a part of the rows holds.
struct Block {
  std::vector<Rejection> rejected = {};
  std::vector<std::string> missing = {};  // keys of the first rows without a caption
  std::vector<int64_t> without = {};      // all of these rows
  std::vector<int64_t> found = {};        // rows of each kind of caption
  std::vector<uint64_t> key_hashes = {};
  std::string images_hash = {};
};

// Reads all rows and applies the rules.
class Lister {
 public:
  Lister(const SourceConfig& config, PlacedDataset& dataset) : config_(config), dataset_(dataset) {}

  void list() {
    if (dataset_.rows_.label) number_labels();
    take_first();
    blocks_.resize(size_t((dataset_.size() + kBlock - 1) / kBlock));
    for_each_in_parallel(
        int64_t(blocks_.size()), [&](int64_t i) { read_block(i); }, kThreads);
    collect();
    require_usable();
    require_kinds();
    if (!dataset_.rows_.has_unique_keys) reject_duplicates();
    if (dataset_.rows_.has_captions) check_missing();
    require_usable();
    set_fingerprint();
  }

 private:
  // Labels are numbers if most of them are; otherwise names, numbered in sorted order. The classes are those of all
  // rows, also of those that max_samples leaves out.
  void number_labels() {
    std::map<std::string, int32_t> numbers;  // of the texts, in any order
    std::vector<int32_t> read(size_t(dataset_.size()));
    std::vector<int64_t> counts;
    for (int64_t row = 0; row < dataset_.size(); ++row) {
      const auto known = numbers.try_emplace(label_text(row), int32_t(counts.size()));
      if (known.second) counts.push_back(0);
      ++counts[size_t(read[size_t(row)] = known.first->second)];
    }
    const auto labels = labels_of(numbers, counts);
    for (auto& label : read) label = labels[size_t(label)];
    dataset_.labels_ = std::move(read);
  }

  std::string label_text(int64_t row) const {
    std::string text;
    retry_machine_faults(fmt::format("read the label of row {} of {}", row, config_.path.string()), [&] {
      try {
        text = dataset_.rows_.label(row);
      } catch (const ReadFault&) {  // its rejection comes later
      }
    });
    return text;
  }

  // The class of each text; -1 if it is not one. Sets the names of the classes.
  std::vector<int32_t> labels_of(const std::map<std::string, int32_t>& texts,
                                 const std::vector<int64_t>& counts) {
    int64_t numbers = 0, all = 0, largest = -1;
    for (const auto& [text, place] : texts) {
      const auto number = whole_number(text);
      all += text.empty() ? 0 : counts[size_t(place)];
      numbers += number ? counts[size_t(place)] : 0;
      if (number && *number < kMostClasses) largest = std::max(largest, *number);
    }
    const bool are_numbers = 2 * numbers > all;
    auto& names = dataset_.rows_.class_names;
    if (names.empty() && are_numbers)
      for (int64_t i = 0; i <= largest; ++i) names.push_back(std::to_string(i));
    if (names.empty())
      for (const auto& [text, place] : texts)
        if (!text.empty()) names.push_back(text);
    std::unordered_map<std::string_view, int32_t> class_of;
    for (size_t i = 0; i < names.size(); ++i) class_of.emplace(names[i], int32_t(i));
    std::vector<int32_t> labels(counts.size(), -1);
    for (const auto& [text, place] : texts) {
      const auto number = are_numbers ? whole_number(text) : std::nullopt;
      if (number && *number >= 0 && *number < int64_t(names.size())) labels[size_t(place)] = int32_t(*number);
      const auto named = class_of.find(text);
      if (!are_numbers && named != class_of.end()) labels[size_t(place)] = named->second;
    }
    return labels;
  }

  void take_first() {
    auto& rows = dataset_.rows_;
    if (config_.max_samples > 0) rows.size = std::min(rows.size, config_.max_samples);
    if (rows.label) dataset_.labels_.resize(size_t(rows.size));
  }

  void read_block(int64_t number) {
    Block& block = blocks_[size_t(number)];
    block.found.resize(dataset_.captions_.kinds().size());
    formats::Sha256 hash;
    const int64_t end = std::min((number + 1) * kBlock, dataset_.size());
    for (int64_t row = number * kBlock; row < end; ++row) {
      retry_machine_faults(fmt::format("read row {} of {}", row, config_.path.string()),
                           [&] { read_row(row, block, hash); });
    }
    block.images_hash = hash.hex();
  }

  void read_row(int64_t index, Block& block, formats::Sha256& hash) {
    const auto& rows = dataset_.rows_;
    PlacedRow row = rows.read(index);
    std::optional<ReadFault> fault = row.fault;
    uint64_t bytes = row.image_bytes;
    if (!fault && rows.image_size) bytes = size_of(index, fault);
    if (!fault && rows.label) fault = label_fault(index);
    const auto captions = fault ? std::vector<Caption>() : dataset_.captions_.choose(row, fault);
    const int64_t label = rows.label ? dataset_.labels_[size_t(index)] : -1;
    hash.add(fmt::format("{}\n{} {}\n", row.key, bytes, label));
    block.key_hashes.push_back(std::hash<std::string>{}(row.key));
    if (fault) {
      block.rejected.push_back({.row = index,
                                .key = row.key,
                                .offset = row.offset,
                                .reason = fault->reason,
                                .detail = fault->detail});
      return;
    }
    for (size_t kind = 0; kind < block.found.size(); ++kind)
      block.found[kind] += std::any_of(captions.begin(), captions.end(), [&](const Caption& caption) {
        return caption.name == dataset_.captions_.kinds()[kind].name;
      });
    if (!captions.empty()) return;
    block.without.push_back(index);
    if (block.missing.size() < kMostNamed) block.missing.push_back(row.key);
  }

  uint64_t size_of(int64_t row, std::optional<ReadFault>& fault) const {
    try {
      return dataset_.rows_.image_size(row);
    } catch (const ReadFault& found) {
      fault = found;
      return 0;
    }
  }

  std::optional<ReadFault> label_fault(int64_t index) const {
    if (dataset_.labels_[size_t(index)] >= 0) return std::nullopt;
    try {
      const std::string text = dataset_.rows_.label(index);
      if (text.empty()) return ReadFault{Reason::kMissingField, "the label is missing"};
      return ReadFault{Reason::kBadLabel, fmt::format("label {} is not one of the {} classes", text,
                                                      dataset_.rows_.class_names.size())};
    } catch (const ReadFault& fault) {
      return fault;
    }
  }

  void collect() {
    dataset_.is_rejected_.resize(size_t(dataset_.size()));
    for (auto& block : blocks_)
      for (auto& rejection : block.rejected) reject(std::move(rejection));
  }

  void reject(Rejection rejection) {
    const auto row = size_t(rejection.row);
    if (dataset_.is_rejected_[row]) return;
    dataset_.is_rejected_[row] = true;
    dataset_.rejected_.push_back(std::move(rejection));
  }

  void reject_row(int64_t row, Reason reason, const std::string& detail) {
    const PlacedRow read = dataset_.rows_.read(row);
    reject({.row = row, .key = read.key, .offset = read.offset, .reason = reason, .detail = detail});
  }

  // Every kind of caption that the config names must occur.
  void require_kinds() const {
    for (size_t kind = 0; kind < dataset_.captions_.kinds().size(); ++kind) {
      int64_t found = 0;
      for (const auto& block : blocks_) found += block.found[kind];
      const auto& wanted = dataset_.captions_.kinds()[kind];
      if (found > 0) continue;
      throw UserError(fmt::format(
          "{}: no sample has a caption of kind {}.{}", subject_of(config_), wanted.name,
          wanted.from.empty()
              ? ""
              : fmt::format(" The keys of {} are not keys of this source; compare with pixart data check.",
                            wanted.from.string())));
    }
  }

  // Rows whose keys have equal hashes are compared; the first of those with one key is kept.
  void reject_duplicates() {
    std::vector<std::pair<uint64_t, int64_t>> hashes;
    hashes.reserve(size_t(dataset_.size()));
    for (const auto& block : blocks_)
      for (const uint64_t hash : block.key_hashes) hashes.emplace_back(hash, int64_t(hashes.size()));
    std::erase_if(hashes, [&](const auto& one) { return dataset_.is_rejected_[size_t(one.second)]; });
    std::sort(hashes.begin(), hashes.end());
    for (size_t begin = 0, end = 0; begin < hashes.size(); begin = end) {
      while (end < hashes.size() && hashes[end].first == hashes[begin].first) ++end;
      std::set<std::string> keys;
      for (size_t i = begin; end - begin > 1 && i < end; ++i)
        if (!keys.insert(dataset_.rows_.read(hashes[i].second).key).second)
          reject_row(hashes[i].second, Reason::kDuplicateKey, "an earlier sample has this key");
    }
  }

  void check_missing() {
    std::vector<std::string> names;
    std::vector<int64_t> rows;
    for (const auto& block : blocks_) {
      names.insert(names.end(), block.missing.begin(), block.missing.end());
      for (const int64_t row : block.without)
        if (!dataset_.is_rejected_[size_t(row)]) rows.push_back(row);
    }
    if (rows.empty()) return;
    if (config_.missing_caption != MissingCaption::kEmpty)
      for (const int64_t row : rows) reject_row(row, Reason::kMissingCaption, "the sample has no caption");
    names.resize(std::min({names.size(), kMostNamed, rows.size()}));
    const double share = double(rows.size()) / double(dataset_.size());
    std::string what =
        fmt::format("{}: {} of {} samples have no caption: {}{}.", subject_of(config_), rows.size(),
                    dataset_.size(), name_some(names), rows.size() > names.size() ? ", ..." : "");
    if (config_.missing_caption == MissingCaption::kError)
      throw UserError(what + " Name their column under captions, or set missing_caption to skip or empty.");
    if (share > config_.missing_caption_share)
      throw UserError(fmt::format(
          "{} That is {:.2f} %, more than missing_caption_share = {} allows; raise it if this is intended.",
          what, 100 * share, config_.missing_caption_share));
  }

  // If no sample is left, the message has the reason of the first one.
  void require_usable() {
    auto& rejected = dataset_.rejected_;
    std::sort(rejected.begin(), rejected.end(), [](const auto& a, const auto& b) { return a.row < b.row; });
    if (int64_t(rejected.size()) < dataset_.size()) return;
    const auto& first = rejected.front();
    const auto same = std::count_if(rejected.begin(), rejected.end(),
                                    [&](const Rejection& one) { return one.reason == first.reason; });
    throw UserError(
        fmt::format("{}: none of {} samples can be used; the first is {}: {}. {} of {} samples have this "
                    "reason.",
                    subject_of(config_), dataset_.size(), printable(first.key), printable(first.detail), same,
                    dataset_.size()));
  }

  void set_fingerprint() {
    formats::Sha256 hash;
    hash.add(fmt::format("{} 1 {}\n{}\n{}\n", dataset_.rows_.type, dataset_.size(),
                         join(dataset_.rows_.class_names, "\n"), dataset_.rows_.sizes));
    for (const auto& block : blocks_) hash.add(block.images_hash + "\n");
    for (const auto& rejection : dataset_.rejected_)
      if (!concerns_caption(rejection.reason))
        hash.add(fmt::format("{} {}\n", rejection.row, to_string(rejection.reason)));
    dataset_.fingerprint_ = hash.hex();
  }

  const SourceConfig& config_;
  PlacedDataset& dataset_;
  std::vector<Block> blocks_;
};

}  // namespace

std::unique_ptr<Dataset> make_placed_dataset(const SourceConfig& config, PlacedRows rows) {
  if (rows.size == 0) throw UserError(subject_of(config) + ": no sample was found.");
  auto dataset = std::make_unique<PlacedDataset>(config, std::move(rows), CaptionRules(config));
  Lister(config, *dataset).list();
  return dataset;
}

}  // namespace pixart::data
