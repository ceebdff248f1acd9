#include "records.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "caption_text.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "read_bytes.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

void Listing::reject(Reason reason, std::string detail, uint64_t offset) {
  PIXART_CHECK(!records.empty(), "no record was listed yet");
  rejected.push_back({.row = int64_t(records.size()) - 1,
                      .key = records.back().row.key,
                      .offset = offset,
                      .reason = reason,
                      .detail = std::move(detail)});
}

namespace {

class RecordDataset : public Dataset {
 public:
  RecordDataset(Listing listing, std::string fingerprint)
      : listing_(std::move(listing)), fingerprint_(std::move(fingerprint)) {}
  int64_t size() const override { return int64_t(listing_.records.size()); }
  Row row(int64_t index) const override { return at(index).row; }
  const std::vector<std::string>& class_names() const override { return listing_.class_names; }
  const std::vector<Rejection>& rejected() const override { return listing_.rejected; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  std::string read_bytes_of(int64_t index) const override {
    const Record& record = at(index);
    try {
      return read_bytes(record.file, record.offset, record.bytes);
    } catch (const ReadFault& fault) {
      throw BadSample({.row = index,
                       .key = record.row.key,
                       .offset = record.offset,
                       .reason = fault.reason,
                       .detail = fault.detail});
    }
  }
  const Record& at(int64_t index) const {
    PIXART_CHECK(index >= 0 && index < size(), "sample {} of {}", index, size());
    return listing_.records[size_t(index)];
  }
  Listing listing_;
  std::string fingerprint_;
};

using CaptionsByKey = std::unordered_map<std::string, std::vector<std::string>>;

// Keeps the captions of the first kind that the sample has.
void keep_first_kind(std::vector<Caption>& captions) {
  if (captions.size() < 2) return;
  const std::string kind = captions.front().name;
  std::erase_if(captions, [&](const Caption& caption) { return caption.name != kind; });
}

// The captions of one kind that a row has, in the source or in a file of `pixart caption`.
std::vector<std::string> texts_of(const Row& row, const CaptionConfig& wanted, const CaptionsByKey& joined) {
  std::vector<std::string> texts;
  if (wanted.from.empty()) {
    for (const auto& caption : row.captions)
      if (caption.name == wanted.name) texts.push_back(caption.text);
  } else if (const auto entry = joined.find(row.key); entry != joined.end()) {
    texts = entry->second;
  }
  std::erase(texts, "");
  return texts;
}

std::string why_no_caption(const CaptionConfig& wanted, const CaptionsByKey& joined, const Listing& listing) {
  std::string why;
  if (!joined.empty())
    why = fmt::format(" The keys of {} are not keys of this source; compare with pixart data check.",
                      wanted.from.string());
  if (!listing.rejected.empty())
    why += fmt::format(" {} of {} samples cannot be used; the first is {}: {}.", listing.rejected.size(),
                       listing.records.size(), printable(listing.rejected.front().key),
                       printable(listing.rejected.front().detail));
  return why;
}

// Keeps the kinds that the config names, in its order and with its weights, and adds those from files of
// `pixart caption`.
void choose_captions(const SourceConfig& config, Listing& listing) {
  if (config.captions.empty()) {
    for (auto& record : listing.records) keep_first_kind(record.row.captions);
    return;
  }
  std::vector<CaptionsByKey> joined(config.captions.size());
  for (size_t kind = 0; kind < config.captions.size(); ++kind)
    if (!config.captions[kind].from.empty()) joined[kind] = read_caption_file(config.captions[kind].from);
  std::vector<int64_t> found(config.captions.size());
  for (auto& record : listing.records) {
    std::vector<Caption> chosen;
    for (size_t kind = 0; kind < config.captions.size(); ++kind) {
      const auto& wanted = config.captions[kind];
      const auto texts = texts_of(record.row, wanted, joined[kind]);
      for (const auto& text : texts)
        chosen.push_back({wanted.name, text, wanted.weight / double(texts.size())});
      found[kind] += int64_t(texts.size());
    }
    record.row.captions = std::move(chosen);
  }
  for (size_t kind = 0; kind < config.captions.size(); ++kind)
    if (found[kind] == 0)
      throw UserError(fmt::format("{}: no sample has a caption of kind {}.{}", subject_of(config),
                                  config.captions[kind].name,
                                  why_no_caption(config.captions[kind], joined[kind], listing)));
}

// Trims captions and rejects invalid ones.
void check_captions(Listing& listing) {
  for (size_t i = 0; i < listing.records.size(); ++i) {
    auto& row = listing.records[i].row;
    for (auto& caption : row.captions) {
      const auto fault = clean_caption_text(caption.text);
      if (!fault) continue;
      listing.rejected.push_back({.row = int64_t(i),
                                  .key = row.key,
                                  .offset = 0,
                                  .reason = fault->reason,
                                  .detail = caption.name + ": " + fault->detail});
    }
    std::erase_if(row.captions, [](const Caption& caption) { return caption.text.empty(); });
  }
}

std::vector<bool> rejected_rows(const Listing& listing) {
  std::vector<bool> result(listing.records.size());
  for (const auto& rejection : listing.rejected) result[size_t(rejection.row)] = true;
  return result;
}

void check_keys(Listing& listing) {
  std::unordered_set<std::string_view> seen;
  const auto is_rejected = rejected_rows(listing);
  for (size_t i = 0; i < listing.records.size(); ++i) {
    const auto& key = listing.records[i].row.key;
    if (is_rejected[i] || seen.insert(key).second) continue;
    listing.rejected.push_back({.row = int64_t(i),
                                .key = key,
                                .offset = listing.records[i].offset,
                                .reason = Reason::kDuplicateKey,
                                .detail = "an earlier sample has this key"});
  }
}

void check_missing_captions(const SourceConfig& config, Listing& listing) {
  const auto is_rejected = rejected_rows(listing);
  std::vector<std::string> missing;
  for (size_t i = 0; i < listing.records.size(); ++i) {
    const auto& row = listing.records[i].row;
    if (is_rejected[i] || !row.captions.empty() || !row.caption_file.empty()) continue;
    missing.push_back(row.key);
    if (config.missing_caption == MissingCaption::kEmpty) continue;
    listing.rejected.push_back({.row = int64_t(i),
                                .key = row.key,
                                .offset = listing.records[i].offset,
                                .reason = Reason::kMissingCaption,
                                .detail = "the sample has no caption"});
  }
  if (missing.empty()) return;
  const double share = double(missing.size()) / double(listing.records.size());
  const std::string what =
      fmt::format("{}: {} of {} samples have no caption: {}.{}", subject_of(config), missing.size(),
                  listing.records.size(), name_some(missing), listing.hint);
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
  return fmt::format(" {} of {} samples have this reason.", count, listing.records.size());
}

// If no sample is left, the message begins with the reason of the first one.
void require_usable(const SourceConfig& config, Listing& listing) {
  sort_rejected(listing);
  if (listing.rejected.size() < listing.records.size()) return;
  const auto& first = listing.rejected.front();
  throw UserError(fmt::format("{}: none of {} samples can be used; the first is {}: {}.{}{}",
                              subject_of(config), listing.records.size(), printable(first.key),
                              printable(first.detail), number_with(first.detail, listing),
                              reasons_of(listing.rejected)));
}

std::string fingerprint_of(const Listing& listing) {
  formats::Sha256 hash;
  hash.add(fmt::format("{} 2\n{}\n", listing.type, join(listing.class_names, "\n")));
  for (const auto& [row, file, offset, bytes] : listing.records)
    hash.add(fmt::format("{}\n{} {}\n", row.key, bytes, row.label));
  for (const auto& rejection : listing.rejected)
    if (!concerns_caption(rejection.reason))
      hash.add(fmt::format("{} {}\n", rejection.row, to_string(rejection.reason)));
  return hash.hex();
}

}  // namespace

std::unique_ptr<Dataset> make_dataset(const SourceConfig& config, Listing listing) {
  if (config.max_samples > 0 && int64_t(listing.records.size()) > config.max_samples) {
    listing.records.resize(size_t(config.max_samples));
    std::erase_if(listing.rejected, [&](const auto& r) { return r.row >= config.max_samples; });
  }
  if (listing.records.empty()) throw UserError(subject_of(config) + ": no sample was found.");
  require_usable(config, listing);
  choose_captions(config, listing);
  check_captions(listing);
  check_keys(listing);
  if (listing.has_captions) check_missing_captions(config, listing);
  require_usable(config, listing);
  std::string fingerprint = fingerprint_of(listing);
  return std::make_unique<RecordDataset>(std::move(listing), std::move(fingerprint));
}

}  // namespace pixart::data
