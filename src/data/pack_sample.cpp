#include "pack_sample.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hashed_rows.h"
#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/base/utf8.h"
#include "sources.h"

namespace pixart::data {

namespace {

constexpr size_t kLongestKey = 4096;

std::string_view stem_of(std::string_view key) {
  const size_t dot = key.rfind('.'), slash = key.rfind('/');
  const size_t base = slash == std::string_view::npos ? 0 : slash + 1;
  if (dot == std::string_view::npos || dot <= base) return key;
  return contains(formats::image_endings(), ascii_lower(std::string(key.substr(dot + 1))))
             ? key.substr(0, dot)
             : key;
}

void append_encoded(std::string& out, char c) { out += fmt::format("%{:02X}", uint8_t(c)); }

// Encodes a part of a path between slashes.
void append_part(std::string& out, std::string_view part, bool is_top, bool is_base) {
  const bool is_relative = part == "." || part == "..";
  const bool is_meta = is_top && part.size() >= 4 && part.starts_with("__") && part.ends_with("__");
  for (size_t i = 0; i < part.size(); ++i) {
    const char c = part[i];
    const bool is_special = c == '%' || c == '\\' || uint8_t(c) < 0x20 || c == 0x7F;
    if (is_special || (c == '.' && (is_base || is_relative)) || (is_meta && i == 0))
      append_encoded(out, c);
    else
      out += c;
  }
}

// In the order of the kinds.
std::vector<std::pair<std::string, std::vector<std::string>>> texts_by_kind(
    const std::vector<Caption>& captions) {
  std::vector<std::pair<std::string, std::vector<std::string>>> kinds;
  for (const auto& caption : captions) {
    if (kinds.empty() || kinds.back().first != caption.name) kinds.push_back({caption.name, {}});
    kinds.back().second.push_back(caption.text);
  }
  return kinds;
}

}  // namespace

std::string encode_member_key(std::string_view key) {
  std::string out;
  for (size_t begin = 0;;) {
    const size_t slash = key.find('/', begin);
    const bool is_base = slash == std::string_view::npos;
    const auto part = key.substr(begin, is_base ? std::string_view::npos : slash - begin);
    append_part(out, part, begin == 0, is_base);
    if (is_base) return out;
    // Empty parts would be lost in a path, and names must not be empty.
    if (part.empty() || slash + 1 == key.size())
      append_encoded(out, '/');
    else
      out += '/';
    begin = slash + 1;
  }
}

namespace {

size_t hash_of(std::string_view key) { return std::hash<std::string_view>()(key); }

}  // namespace

MemberKeys::MemberKeys(const Dataset& dataset) {
  HashedRows names;  // of row i as 2 i its stem, and as 2 i + 1 its whole key
  auto bad = dataset.rejected().begin();
  const auto end = dataset.rejected().end();
  for (int64_t i = 0; i < dataset.size(); ++i) {
    while (bad != end && bad->row < i) ++bad;
    if ((bad != end && bad->row == i) || dataset.is_left_out(i)) continue;
    const std::string key = dataset.key(i);
    const auto stem = stem_of(key);
    names.add(hash_of(stem), 2 * i);
    if (stem != key) names.add(hash_of(key), 2 * i + 1);
  }
  // A stem that is another row's stem or whole key.
  names.for_each_hash([&](const std::vector<int64_t>& same) {
    if (same.size() < 2) return;
    const auto stem = std::find_if(same.begin(), same.end(), [](int64_t name) { return name % 2 == 0; });
    if (stem != same.end()) shared_.insert(hash_of(stem_of(dataset.key(*stem / 2))));
  });
}

std::string MemberKeys::of(const std::string& key) const {
  const auto stem = stem_of(key);
  return encode_member_key(shared_.count(hash_of(stem)) == 0 ? stem : key);
}

Packer::Packer(const SourceConfig& config, const Dataset& dataset, bool verify)
    : dataset_(dataset), keys_(dataset), has_one_kind_(config.captions.size() <= 1), verify_(verify) {
  std::vector<std::string> taken = {"source_key", "label", "class", "txt", "json", "cls"}, bad;
  for (const auto ending : formats::image_endings()) taken.emplace_back(ending);
  for (const auto& kind : config.captions)
    if (contains(taken, kind.name)) bad.push_back(kind.name);
  if (!bad.empty())
    throw UserError(
        fmt::format("{}: captions of kind {} cannot be packed, because shards use this name for something "
                    "else. Give the kind another name.",
                    subject_of(config), join(bad, ", ")));
}

PackedSample Packer::pack(int64_t index) const {
  try {
    return {.members = members_of(index)};
  } catch (const BadSample& bad) {
    return {.rejection = bad.rejection()};
  }
}

Members Packer::members_of(int64_t index) const {
  const Row row = dataset_.row(index);
  const auto refuse = [&](Reason reason, std::string detail) {
    throw BadSample(
        {.row = index, .key = row.key, .offset = 0, .reason = reason, .detail = std::move(detail)});
  };
  if (row.key.empty() || row.key.size() > kLongestKey || !is_utf8(row.key))
    refuse(Reason::kBadRow, fmt::format("a key must be UTF-8 of 1 to {} bytes", kLongestKey));
  std::string bytes = dataset_.bytes(index);
  const std::string_view extension = formats::image_ending(bytes);
  if (extension.empty()) refuse(Reason::kNotAnImage, "it is not an image of a kind that is read");
  if (verify_) dataset_.image(index);

  const std::string key = keys_.of(row.key);
  Members members;
  members.emplace_back(fmt::format("{}.{}", key, extension), std::move(bytes));
  nlohmann::ordered_json fields = {{"source_key", row.key}};
  if (row.label >= 0) {
    fields["label"] = row.label;
    if (size_t(row.label) < dataset_.class_names().size())
      fields["class"] = dataset_.class_names()[size_t(row.label)];
    members.emplace_back(key + ".cls", std::to_string(row.label));
  }
  bool needs_json = key != row.key;
  for (const auto& [kind, texts] : texts_by_kind(row.captions)) {
    if (has_one_kind_ && kind == "caption" && texts.size() == 1) {
      members.emplace_back(key + ".txt", texts.front());
    } else {
      fields[kind] =
          texts.size() == 1 ? nlohmann::ordered_json(texts.front()) : nlohmann::ordered_json(texts);
      needs_json = true;
    }
  }
  if (needs_json)
    members.emplace_back(key + ".json",
                         fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  return members;
}

}  // namespace pixart::data
