// The rules that all sources of files share.
#include "records.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "caption_places.h"
#include "caption_text.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/formats/crc32c.h"
#include "sources.h"

namespace pixart::data {

// The captions that the config chooses, in its order and with its weights, and those from files of `pixart
// caption`; without `captions` in the config those of the first kind that a row has.
class CaptionChoice {
 public:
  CaptionChoice(const SourceConfig& config, Listing& listing) : config_(config), listing_(listing) {
    if (config.captions.empty()) return;
    for (const auto& wanted : config.captions) kinds_.push_back({wanted.name, wanted.weight});
    joined_.resize(config.captions.size());
    found_.resize(config.captions.size());
    for (size_t kind = 0; kind < config.captions.size(); ++kind)
      if (!config.captions[kind].from.empty()) join_file(kind);
  }

  // Sets the captions of all rows and rejects rows with invalid ones.
  std::vector<CaptionPlace> take() {
    for (int64_t row = 0; row < listing_.size(); ++row) {
      auto& record = listing_.row(row);
      const Text* own = listing_.texts_.data() + record.first_caption;
      const uint32_t count = listing_.num_texts_[size_t(row)];
      begin(row);
      kinds_.empty() ? take_first_kind(own, count) : take_kinds(own, count);
      listing_.num_texts_[size_t(row)] = uint32_t(checksums_.size());
      record.checksum = checksums_.empty() ? 0 : checksum_of(checksums_);
    }
    require_all_kinds();
    std::move(faulty_.begin(), faulty_.end(), std::back_inserter(listing_.rejected));
    if (!kinds_.empty()) name_kinds();
    return std::move(places_);
  }

 private:
  using Text = Listing::Text;
  struct KeyHash {
    uint64_t hash;
    uint32_t checksum;
    uint32_t bytes;
    bool operator==(const KeyHash&) const = default;
  };
  struct First {
    size_t operator()(const KeyHash& key) const { return size_t(key.hash); }
  };
  struct Texts {
    uint32_t first = 0, count = 0;
  };
  struct Joined {
    std::unordered_map<KeyHash, Texts, First> texts_of = {};
    std::vector<Text> texts = {};
  };

  static KeyHash hash_of(std::string_view key) {
    return {std::hash<std::string_view>{}(key), formats::crc32c(key), uint32_t(key.size())};
  }

  void join_file(size_t kind) {
    const auto& wanted = config_.captions[kind];
    auto& joined = joined_[kind];
    const uint32_t file = listing_.file({.path = wanted.from});
    read_caption_file(wanted.from, [&](CaptionLine& line) {
      const auto first = uint32_t(joined.texts.size());
      const auto [entry, is_new] = joined.texts_of.try_emplace(hash_of(line.key), Texts{first, 0});
      if (!is_new) return false;
      for (size_t item = 0; item < line.texts.size(); ++item) {
        ListedText text{.kind = wanted.name,
                        .text = std::move(line.texts[item]),
                        .way = {.as = ReadAs::kJson, .file = file, .field = "caption"},
                        .offset = line.offset,
                        .bytes = line.bytes,
                        .item = item};
        joined.texts.push_back(listing_.checked(text));
      }
      entry->second.count = uint32_t(joined.texts.size()) - first;
      return true;
    });
  }

  void begin(int64_t row) {
    row_ = row;
    checksums_.clear();
    listing_.row(row).first_caption = uint32_t(places_.size());
  }

  void take(const Text& text, bool keeps_blank) {
    if (text.fault > 0) {
      const auto& fault = listing_.faults_[text.fault - 1];
      const auto& kind = listing_.kinds_[listing_.ways_[text.place.way].kind].name;
      faulty_.push_back({.row = row_,
                         .key = std::string(listing_.key(row_)),
                         .offset = 0,
                         .reason = fault.reason,
                         .detail = kind + ": " + fault.detail});
    }
    if (text.place.is_blank == 0) checksums_.push_back(text.checksum);
    if (text.place.is_blank == 0 || keeps_blank) places_.push_back(text.place);
  }

  void take_first_kind(const Text* own, uint32_t count) {
    for (uint32_t t = 0; t < count; ++t)
      if (listing_.ways_[own[t].place.way].kind == listing_.ways_[own[0].place.way].kind)
        take(own[t], /*keeps_blank=*/false);
  }

  void take_kinds(const Text* own, uint32_t count) {
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      if (!config_.captions[kind].from.empty()) {
        const auto& joined = joined_[kind];
        const auto entry = joined.texts_of.find(hash_of(listing_.key(row_)));
        if (entry == joined.texts_of.end()) continue;
        for (uint32_t t = 0; t < entry->second.count; ++t)
          take_of(kind, joined.texts[entry->second.first + t]);
        continue;
      }
      for (uint32_t t = 0; t < count; ++t)
        if (listing_.kinds_[listing_.ways_[own[t].place.way].kind].name == kinds_[kind].name)
          take_of(kind, own[t]);
    }
  }

  void take_of(size_t kind, const Text& text) {
    if (text.is_empty != 0) return;
    ++found_[kind];
    take(text, /*keeps_blank=*/true);
  }

  std::string why_none(size_t kind) const {
    std::string why;
    if (!config_.captions[kind].from.empty() && !joined_[kind].texts_of.empty())
      why = fmt::format(" The keys of {} are not keys of this source; compare with pixart data check.",
                        config_.captions[kind].from.string());
    if (!listing_.rejected.empty())
      why += fmt::format(" {} of {} samples cannot be used; the first is {}: {}.", listing_.rejected.size(),
                         listing_.size(), printable(listing_.rejected.front().key),
                         printable(listing_.rejected.front().detail));
    return why;
  }

  void require_all_kinds() const {
    for (size_t kind = 0; kind < kinds_.size(); ++kind)
      if (found_[kind] == 0)
        throw UserError(fmt::format("{}: no sample has a caption of kind {}.{}", subject_of(config_),
                                    kinds_[kind].name, why_none(kind)));
  }

  // Ways name the kinds of the config from now on.
  void name_kinds() {
    for (auto& way : listing_.ways_) {
      const auto& name = listing_.kinds_[way.kind].name;
      const auto named = [&](const CaptionKind& kind) { return kind.name == name; };
      way.kind = uint32_t(std::find_if(kinds_.begin(), kinds_.end(), named) - kinds_.begin());
    }
    listing_.kinds_ = kinds_;
  }

  const SourceConfig& config_;
  Listing& listing_;
  std::vector<CaptionKind> kinds_;  // of the config
  std::vector<Joined> joined_;
  std::vector<int64_t> found_;  // of each kind
  std::vector<CaptionPlace> places_;
  std::vector<Rejection> faulty_;
  int64_t row_ = 0;
  std::vector<uint32_t> checksums_;  // of the row
};

namespace {

// Rows of which an earlier row that is not rejected has the key.
std::vector<int64_t> rows_with_known_keys(const Listing& listing) {
  const auto sorted = listing.by_key(listing.rejected_rows());
  std::vector<int64_t> known;
  for (size_t i = 1; i < sorted.size(); ++i)
    if (listing.key(sorted[i].row) == listing.key(sorted[i - 1].row)) known.push_back(sorted[i].row);
  std::sort(known.begin(), known.end());
  return known;
}

void check_keys(Listing& listing) {
  for (const int64_t row : rows_with_known_keys(listing))
    listing.rejected.push_back({.row = row,
                                .key = std::string(listing.key(row)),
                                .offset = listing.row(row).offset,
                                .reason = Reason::kDuplicateKey,
                                .detail = "an earlier sample has this key"});
}

void check_missing_captions(const SourceConfig& config, Listing& listing) {
  const auto is_rejected = listing.rejected_rows();
  std::vector<std::string> missing;
  for (int64_t row = 0; row < listing.size(); ++row) {
    if (is_rejected[size_t(row)] || listing.has_texts(row) || listing.row(row).has_features != 0) continue;
    missing.emplace_back(listing.key(row));
    if (config.missing_caption == MissingCaption::kEmpty) continue;
    listing.rejected.push_back({.row = row,
                                .key = missing.back(),
                                .offset = listing.row(row).offset,
                                .reason = Reason::kMissingCaption,
                                .detail = "the sample has no caption"});
  }
  if (missing.empty()) return;
  const double share = double(missing.size()) / double(listing.size());
  const std::string what = fmt::format("{}: {} of {} samples have no caption: {}.{}", subject_of(config),
                                       missing.size(), listing.size(), name_some(missing), listing.hint);
  if (config.missing_caption == MissingCaption::kError)
    throw UserError(what +
                    " Give each one (image_folder: a .txt file of the same name with a line of text), or set "
                    "missing_caption to skip or empty.");
  if (share > config.missing_caption_share)
    throw UserError(
        fmt::format("{} That is {:.2f} %, more than missing_caption_share = {} allows; raise it if this is "
                    "intended.",
                    what, 100 * share, config.missing_caption_share));
}

// The first reason of each row, ordered by row.
void sort_rejected(Listing& listing) {
  std::stable_sort(listing.rejected.begin(), listing.rejected.end(),
                   [](const auto& a, const auto& b) { return a.row < b.row; });
  const auto last = std::unique(listing.rejected.begin(), listing.rejected.end(),
                                [](const auto& a, const auto& b) { return a.row == b.row; });
  listing.rejected.erase(last, listing.rejected.end());
}

// " (3 missing_file, 1 bad_row)", or "" if there is only one reason.
std::string reasons_of(const std::vector<Rejection>& rejected) {
  std::map<std::string_view, int64_t> counts;
  for (const auto& rejection : rejected) ++counts[to_string(rejection.reason)];
  std::vector<std::string> parts;
  for (const auto& [reason, count] : counts) parts.push_back(fmt::format("{} {}", count, reason));
  return parts.size() > 1 ? " (" + join(parts, ", ") + ")" : "";
}

// " 4 of 4 samples have this reason.", or "" if it is that of the first one alone.
std::string number_with(const std::string& detail, const Listing& listing) {
  const auto count = std::count_if(listing.rejected.begin(), listing.rejected.end(),
                                   [&](const Rejection& rejection) { return rejection.detail == detail; });
  if (count < 2) return "";
  return fmt::format(" {} of {} samples have this reason.", count, listing.size());
}

// If no sample is left, the message begins with the reason of the first one.
void require_usable(const SourceConfig& config, Listing& listing) {
  sort_rejected(listing);
  if (int64_t(listing.rejected.size()) < listing.size()) return;
  const auto& first = listing.rejected.front();
  throw UserError(fmt::format("{}: none of {} samples can be used; the first is {}: {}.{}{}",
                              subject_of(config), listing.size(), printable(first.key),
                              printable(first.detail), number_with(first.detail, listing),
                              reasons_of(listing.rejected)));
}

void take_first(Listing& listing, int64_t most) {
  if (most == 0 || listing.size() <= most) return;
  std::vector<bool> is_kept(size_t(listing.size()));
  std::fill_n(is_kept.begin(), most, true);
  listing.keep(is_kept);
}

struct IndexMemory {
  std::vector<IndexedRow> rows;
  std::vector<CaptionPlace> captions;
  std::string keys, texts;
};

}  // namespace

SourceIndex make_index(const SourceConfig& config, Listing listing) {
  take_first(listing, config.max_samples);
  if (listing.size() == 0) throw UserError(subject_of(config) + ": no sample was found.");
  require_usable(config, listing);
  auto places = CaptionChoice(config, listing).take();
  listing.texts_ = {};
  check_keys(listing);
  if (listing.has_captions) check_missing_captions(config, listing);
  require_usable(config, listing);
  listing.rows_.push_back({.first_caption = uint32_t(places.size())});
  const auto memory = std::make_shared<IndexMemory>(std::move(listing.rows_), std::move(places),
                                                    std::move(listing.keys_), std::move(listing.stored_));
  SourceIndex index{.tables = {.type = listing.type,
                               .files = std::move(listing.files_),
                               .ways = std::move(listing.ways_),
                               .kinds = std::move(listing.kinds_),
                               .shares_weight = !config.captions.empty(),
                               .latents = listing.latents,
                               .features = listing.features,
                               .class_names = std::move(listing.class_names),
                               .rejected = std::move(listing.rejected)},
                    .rows = memory->rows,
                    .captions = memory->captions,
                    .keys = memory->keys,
                    .texts = memory->texts,
                    .memory = memory};
  index.tables.fingerprint = fingerprint_of(index);
  return index;
}

}  // namespace pixart::data
