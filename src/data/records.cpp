// The rules that all sources of files share.
#include "records.h"

#include <algorithm>
#include <map>

#include "caption_choice.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "placed_rows.h"
#include "row_fields.h"
#include "sources.h"

namespace pixart::data {

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

// Where the captions of this type of source are put.
std::string remedy_for(const SourceConfig& config) {
  if (config.type == "image_folder") return "Give each one a .txt file of the same name with a line of text";
  if (config.type == "webdataset")
    return "Give each one a .txt member, or name another member, or a field of its .json, under captions";
  if (config.type == "table" || config.type == "parquet" || config.type == "mds")
    return "Name the column of the captions under captions, or fill its cells";
  return "Give each one a caption";
}

void check_missing_captions(const SourceConfig& config, Listing& listing) {
  const auto is_rejected = listing.rejected_rows();
  constexpr size_t kMostNamed = 20;
  std::vector<std::string> names;
  int64_t missing = 0;
  for (int64_t row = 0; row < listing.size(); ++row) {
    if (is_rejected[size_t(row)] || listing.has_texts(row) || listing.row(row).has_features != 0) continue;
    ++missing;
    if (names.size() < kMostNamed) names.emplace_back(listing.key(row));
    if (config.missing_caption == MissingCaption::kEmpty) continue;
    listing.rejected.push_back({.row = row,
                                .key = std::string(listing.key(row)),
                                .offset = listing.row(row).offset,
                                .reason = Reason::kMissingCaption,
                                .detail = "the sample has no caption"});
  }
  if (missing == 0) return;
  const double share = double(missing) / double(listing.size());
  const int64_t more = missing - int64_t(names.size());
  const std::string what = fmt::format("{}: {} of {} samples have no caption: {}{}.{}", subject_of(config),
                                       missing, listing.size(), name_some(names),
                                       more > 0 ? fmt::format(" and {} more", more) : "", listing.hint);
  if (config.missing_caption == MissingCaption::kError)
    throw UserError(fmt::format("{} {}, or set missing_caption to skip or empty.", what, remedy_for(config)));
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
                              subject_of(config), listing.size(), printable(shortened(first.key)),
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
  SpilledVector<IndexedRow> rows;
  SpilledVector<CaptionPlace> captions;
  SpilledVector<char> keys, texts;
};

}  // namespace

SourceIndex make_index(const SourceConfig& config, Listing listing) {
  take_first(listing, config.max_samples);
  if (listing.size() == 0) throw UserError(subject_of(config) + ": no sample was found.");
  require_usable(config, listing);
  auto places = choose_captions(config, listing);
  listing.texts_ = {};
  check_keys(listing);
  if (listing.has_captions) check_missing_captions(config, listing);
  require_usable(config, listing);
  listing.rows_.push_back({.first_caption = uint32_t(places.size())});
  const auto memory = std::make_shared<IndexMemory>(IndexMemory{
      std::move(listing.rows_), std::move(places), std::move(listing.keys_), std::move(listing.stored_)});
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
                    .keys = memory->keys.view(),
                    .texts = memory->texts.view(),
                    .memory = memory};
  index.tables.fingerprint =
      listing.placed_sizes ? placed_fingerprint_of(index, *listing.placed_sizes) : fingerprint_of(index);
  return index;
}

}  // namespace pixart::data
