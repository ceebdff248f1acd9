#include "source_index.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "pixart/base/words.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace fs = std::filesystem;

fs::path path_of(const FilePattern& pattern, std::string_view key) {
  if (pattern.form == FilePattern::kOne) return pattern.path;
  std::string name(key.substr(std::min<size_t>(pattern.skip, key.size())));
  if (pattern.form == FilePattern::kNewEnding) return (pattern.path / name).replace_extension(pattern.ending);
  if (pattern.form == FilePattern::kJoined) name = joined_name(name);
  return pattern.path / (name + pattern.ending);
}

std::string joined_name(const std::string& key) {
  std::string name = fs::path(key).replace_extension().generic_string();
  if (const size_t slash = name.rfind('/'); slash != std::string::npos) name[slash] = '_';
  return name;
}

Row outline_of(const SourceIndex& index, int64_t row) {
  const auto& [tables, rows, captions, keys, texts, memory] = index;
  const IndexedRow& record = index.row(row);
  Row result{.key = std::string(index.key(row)), .label = record.label};
  if (record.has_latents != 0) result.latent_file = path_of(tables.files[tables.latents], result.key);
  if (record.has_features != 0) result.caption_file = path_of(tables.files[tables.features], result.key);
  const auto places = index.captions_of(row);
  for (const auto& place : places) {
    if (place.is_blank != 0) continue;
    const uint32_t kind = tables.ways[place.way].kind;
    const auto share = std::count_if(places.begin(), places.end(), [&](const CaptionPlace& other) {
      return tables.ways[other.way].kind == kind;
    });
    const auto& [name, weight] = tables.kinds[kind];
    result.captions.push_back(
        {.name = name, .text = {}, .weight = tables.shares_weight ? weight / double(share) : weight});
  }
  return result;
}

std::string fingerprint_of(const SourceIndex& index) {
  formats::Sha256 hash;
  hash.add(fmt::format("{} 2\n{}\n", index.tables.type, join(index.tables.class_names, "\n")));
  for (int64_t row = 0; row < index.size(); ++row)
    hash.add(fmt::format("{}\n{} {}\n", index.key(row), index.row(row).bytes, index.row(row).label));
  for (const auto& rejection : index.tables.rejected)
    if (!concerns_caption(rejection.reason))
      hash.add(fmt::format("{} {}\n", rejection.row, to_string(rejection.reason)));
  return hash.hex();
}

namespace {

bool is_same(const CaptionPlace& a, const CaptionPlace& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

bool is_same(const Rejection& a, const Rejection& b) {
  return a.row == b.row && a.key == b.key && a.offset == b.offset && a.reason == b.reason &&
         a.detail == b.detail;
}

template <class Values>
bool are_same(const Values& a, const Values& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& one, const auto& other) { return is_same(one, other); });
}

bool is_same_row(const SourceIndex& a, const SourceIndex& b, int64_t row) {
  return a.key(row) == b.key(row) && a.row(row).offset == b.row(row).offset &&
         a.row(row).bytes == b.row(row).bytes && a.row(row).label == b.row(row).label &&
         a.row(row).checksum == b.row(row).checksum && a.image_file(row) == b.image_file(row) &&
         are_same(a.captions_of(row), b.captions_of(row));
}

}  // namespace

std::string difference(const SourceIndex& a, const SourceIndex& b) {
  if (a.size() != b.size()) return fmt::format("{} rows are now {}", a.size(), b.size());
  for (int64_t row = 0; row < a.size(); ++row)
    if (!is_same_row(a, b, row)) return fmt::format("row {} ({})", row, a.key(row));
  const auto &was = a.tables, &is = b.tables;
  if (!are_same(was.rejected, is.rejected)) return "the rejected rows";
  if (was.class_names != is.class_names) return "the classes";
  if (was.files != is.files || was.ways != is.ways || was.kinds != is.kinds || a.texts != b.texts)
    return "the places of captions";
  return was.fingerprint == is.fingerprint ? "" : "the fingerprint";
}

}  // namespace pixart::data
