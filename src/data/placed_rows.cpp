#include "placed_rows.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_map>

#include "listing.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "sources.h"

namespace pixart::data {

namespace {

constexpr int64_t kRowsAtATime = 4096;  // rows; part of the fingerprint
constexpr int64_t kMostClasses = 1'000'000;
constexpr int kThreads = 8;

std::optional<int64_t> number_in(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Texts, each once, by the order in which they occur.
class Texts {
 public:
  uint32_t number(std::string_view text) {
    const auto known = numbers_.try_emplace(std::string(text), uint32_t(numbers_.size()));
    if (known.second) texts_.push_back(&known.first->first);
    return known.first->second;
  }
  const std::vector<const std::string*>& all() const { return texts_; }

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
  std::vector<const std::string*> texts_;
};

// A label that cannot be read.
struct LabelFault {
  int64_t row = 0;
  ReadFault fault;
};

// The rows of a part, and the labels of all its rows: the classes are also those of rows that max_samples leaves out.
class PartOfRows {
 public:
  explicit PartOfRows(const PlacedListing& rows) : rows_(rows) {}

  void add(int64_t number) {
    PlacedRow row = rows_.read(number);
    const bool is_whole = !row.fault;
    if (is_whole && rows_.look_at_image) rows_.look_at_image(row);
    if (row.refused) refused_.push_back(row.refused->string());
    Record record{.key = std::move(row.key),
                  .file = listing_.file(row.image_file),
                  .offset = row.offset,
                  .bytes = row.image_bytes};
    const uint32_t file = row.captions.empty() ? 0 : listing_.file(row.file);
    for (auto& [kind, column, text, item] : row.captions)
      record.captions.push_back({.kind = std::move(kind),
                                 .text = std::move(text),
                                 .way = {.as = ReadAs::kPlaced, .file = file, .field = std::move(column)},
                                 .offset = uint64_t(number),
                                 .item = item});
    listing_.add(std::move(record));
    if (row.fault) listing_.reject(row.fault->reason, row.fault->detail, row.offset);
  }

  void add_label(int64_t number) {
    std::string text;
    try {
      text = rows_.label(number);
    } catch (ReadFault& fault) {
      faults_.push_back({number, std::move(fault)});
    }
    labels_.push_back(texts_.number(text));
  }

  std::string bytes() const {
    PartWriter writer;
    writer.number(refused_.size());
    for (const auto& path : refused_) writer.text(path);
    writer.number(texts_.all().size());
    for (const auto* text : texts_.all()) writer.text(*text);
    writer.values(std::span<const uint32_t>(labels_));
    writer.number(faults_.size());
    for (const auto& [row, fault] : faults_)
      writer.number(uint64_t(row)), writer.number(uint64_t(fault.reason)), writer.text(fault.detail);
    listing_.write(writer);
    return writer.take();
  }

 private:
  const PlacedListing& rows_;
  Listing listing_;
  Texts texts_;
  std::vector<uint32_t> labels_;
  std::vector<LabelFault> faults_;
  std::vector<std::string> refused_;
};

class Lister {
 public:
  Lister(const SourceConfig& config, const PlacedListing& rows, ListingWatch& watch)
      : config_(config), rows_(rows), watch_(watch) {}

  Listing list() {
    listing_.type = rows_.type;
    listing_.has_captions = rows_.has_captions;
    listing_.class_names = rows_.class_names;
    listing_.placed_sizes = rows_.sizes;
    read_rows();
    if (rows_.label) number_labels();
    const int64_t merged = rows_.merges_rows ? listing_.merge_rows() : 0;
    if (merged > 0)
      log::info("{}: {} rows name an image of an earlier row; their captions are drawn like that row's",
                subject_of(config_), merged);
    return std::move(listing_);
  }

 private:
  int64_t num_used() const {
    return config_.max_samples > 0 ? std::min(rows_.size, config_.max_samples) : rows_.size;
  }

  void read_rows() {
    const int64_t size = rows_.label ? rows_.size : num_used(), rows = rows_of_part(size);
    run_step({.name = "rows",
              .what = "read the rows of " + config_.name,
              .unit = "row",
              .parts = (size + rows - 1) / rows,
              .units = size,
              .threads = kThreads,
              .is_last = true,
              .make = [&](int64_t part,
                          ListingWatch&) { return make(part * rows, std::min((part + 1) * rows, size)); },
              .take = [&](int64_t, std::string_view result) { take(PartReader(result)); }},
             watch_);
  }

  std::string make(int64_t first, int64_t last) const {
    PartOfRows part(rows_);
    for (int64_t row = first; row < last; ++row) {
      const bool is_used = row < num_used();
      retry_machine_faults(fmt::format("read row {} of {}", row, config_.path.string()), [&] {
        if (is_used) part.add(row);
        if (rows_.label) part.add_label(row);
      });
      watch_.found(is_used ? 1 : 0);
    }
    return part.bytes();
  }

  void take(PartReader reader) {
    for (size_t count = reader.count(sizeof(uint64_t)); count > 0; --count)
      refused_.emplace_back(reader.text());
    std::vector<uint32_t> numbers, labels;
    for (size_t count = reader.count(sizeof(uint64_t)); count > 0; --count)
      numbers.push_back(texts_.number(reader.text()));
    reader.values<uint32_t>(labels);
    for (const uint32_t label : labels) labels_.push_back(numbers[label]);
    for (size_t count = reader.count(sizeof(uint64_t)); count > 0; --count) {
      const auto row = int64_t(reader.number());
      const auto reason = Reason(reader.number());
      faults_.push_back({row, {reason, std::string(reader.text())}});
    }
    listing_.append(Listing::read(reader), Listing::Files::kSame);
  }

  // Labels are numbers if most of them are; otherwise names, numbered in sorted order.
  void number_labels() {
    std::vector<int64_t> counts(texts_.all().size());
    for (const uint32_t label : labels_) ++counts[label];
    std::map<std::string_view, uint32_t> sorted;
    for (size_t i = 0; i < counts.size(); ++i) sorted.emplace(*texts_.all()[i], uint32_t(i));
    const auto classes = classes_of(sorted, counts);
    for (int64_t row = 0; row < listing_.size(); ++row)
      listing_.row(row).label = classes[labels_[size_t(row)]];
    reject_labels(classes);
  }

  // The class of each text; -1 if it is not one. Sets the names of the classes.
  std::vector<int32_t> classes_of(const std::map<std::string_view, uint32_t>& texts,
                                  const std::vector<int64_t>& counts) {
    int64_t num_numbers = 0, num_labels = 0, largest = -1;
    for (const auto& [text, place] : texts) {
      const auto number = number_in(std::string(text));
      num_labels += text.empty() ? 0 : counts[place];
      num_numbers += number ? counts[place] : 0;
      if (number && *number < kMostClasses) largest = std::max(largest, *number);
    }
    const bool are_numbers = 2 * num_numbers > num_labels;
    auto& names = listing_.class_names;
    if (names.empty() && are_numbers)
      for (int64_t i = 0; i <= largest; ++i) names.push_back(std::to_string(i));
    if (names.empty())
      for (const auto& [text, place] : texts)
        if (!text.empty()) names.emplace_back(text);
    std::unordered_map<std::string_view, int32_t> class_of;
    for (size_t i = 0; i < names.size(); ++i) class_of.emplace(names[i], int32_t(i));
    std::vector<int32_t> classes(counts.size(), -1);
    for (const auto& [text, place] : texts) {
      const auto number = are_numbers ? number_in(std::string(text)) : std::nullopt;
      if (number && *number >= 0 && *number < int64_t(names.size())) classes[place] = int32_t(*number);
      const auto named = class_of.find(text);
      if (!are_numbers && named != class_of.end()) classes[place] = named->second;
    }
    return classes;
  }

  void reject_labels(const std::vector<int32_t>& classes) {
    auto next = faults_.begin();
    for (int64_t row = 0; row < listing_.size(); ++row) {
      const uint32_t label = labels_[size_t(row)];
      const bool is_unread = next != faults_.end() && next->row == row;
      const ReadFault* fault = is_unread ? &(next++)->fault : nullptr;
      if (classes[label] >= 0) continue;
      const std::string& text = *texts_.all()[label];
      if (fault != nullptr)
        reject(row, *fault);
      else if (text.empty())
        reject(row, {Reason::kMissingField, "the label is missing"});
      else
        reject(row, {Reason::kBadLabel, fmt::format("label {} is not one of the {} classes", text,
                                                    listing_.class_names.size())});
    }
  }

  void reject(int64_t row, const ReadFault& fault) {
    listing_.rejected.push_back({.row = row,
                                 .key = std::string(listing_.key(row)),
                                 .offset = listing_.row(row).offset,
                                 .reason = fault.reason,
                                 .detail = fault.detail});
  }

 public:
  const std::vector<std::filesystem::path>& refused() const { return refused_; }

 private:
  const SourceConfig& config_;
  const PlacedListing& rows_;
  ListingWatch& watch_;
  Listing listing_;
  Texts texts_;
  SpilledVector<uint32_t> labels_;  // of each row, also of those that are not used
  std::vector<LabelFault> faults_;
  std::vector<std::filesystem::path> refused_;
};

}  // namespace

Listing list_placed(const SourceConfig& config, const PlacedListing& rows, ListingWatch& watch) {
  if (rows.size == 0) throw UserError(subject_of(config) + ": no sample was found.");
  Lister lister(config, rows, watch);
  auto listing = lister.list();
  for (const auto& path : lister.refused()) rows.refuse(path);
  return listing;
}

// As it was when these sources had no index: of blocks of rows.
std::string placed_fingerprint_of(const SourceIndex& index, const std::string& sizes) {
  formats::Sha256 hash;
  hash.add(fmt::format("{} 1 {}\n{}\n{}\n", index.tables.type, index.size(),
                       join(index.tables.class_names, "\n"), sizes));
  for (int64_t first = 0; first < index.size(); first += kRowsAtATime) {
    formats::Sha256 block;
    for (int64_t row = first; row < std::min(first + kRowsAtATime, index.size()); ++row)
      block.add(fmt::format("{}\n{} {}\n", index.key(row), index.row(row).bytes, index.row(row).label));
    hash.add(block.hex() + "\n");
  }
  for (const auto& rejection : index.tables.rejected)
    if (!concerns_caption(rejection.reason))
      hash.add(fmt::format("{} {}\n", rejection.row, to_string(rejection.reason)));
  return hash.hex();
}

}  // namespace pixart::data
