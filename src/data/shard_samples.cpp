#include "shard_samples.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "caption_text.h"
#include "json_text.h"
#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/print.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/tar.h"
#include "remote_file.h"

namespace pixart::data {
namespace fs = std::filesystem;
using formats::TarEntry;
using formats::TarFault;
using formats::TarFile;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestJson = uint64_t{64} << 20, kLargestLabel = 64;
// The .json of `pixart data pack` begins with this entry.
constexpr std::string_view kPackedJson = "{\"source_key\":";
constexpr const char* kSourceKey = "source_key";

// Consecutive members with one key.
struct SampleGroup {
  std::string key;
  std::map<std::string, const TarEntry*> members = {};  // by extension
  uint64_t offset = 0;                                  // of the first member
  std::string damage = {}, refused = {}, doubled = {};  // what is wrong with it, if anything
};

// The fault of a sample, thrown by the functions that read a part of it.
struct SampleFault {
  Reason reason;
  std::string detail;
  uint64_t offset;
};

class Sample {
 public:
  Sample(const TarFile& file, uint32_t number, const SampleGroup& group, const ShardRules& rules)
      : file_(file), number_(number), group_(group), rules_(rules) {}

  void fill(Record& record) {
    check_group();
    const TarEntry& image = find_image();
    record.offset = image.offset, record.bytes = image.bytes;
    if (!is_utf8(record.key)) throw SampleFault{Reason::kBadRow, "its name is not UTF-8", group_.offset};
    if (is_packed()) record.key = source_key();
    if (const auto* entry = member("cls")) record.label = label_of(*entry);
    for (const auto& kind : rules_.kinds)
      for (auto& text : captions_of(kind))
        if (!text.text.empty()) record.captions.push_back(std::move(text));
  }

 private:
  const TarEntry* member(const std::string& extension) const {
    const auto found = group_.members.find(extension);
    return found == group_.members.end() ? nullptr : found->second;
  }

  void check_group() const {
    if (!group_.damage.empty()) throw SampleFault{Reason::kDamagedArchive, group_.damage, group_.offset};
    if (!group_.refused.empty()) throw SampleFault{Reason::kUnreadableFile, group_.refused, group_.offset};
    if (!group_.doubled.empty())
      throw SampleFault{Reason::kBadRow, fmt::format("it has two members .{}", group_.doubled),
                        group_.offset};
  }

  const TarEntry& find_image() const {
    for (const auto extension : formats::image_endings()) {
      const auto* entry = member(std::string(extension));
      if (!entry) continue;
      if (entry->bytes == 0) throw SampleFault{Reason::kEmptyFile, "the image is empty", entry->offset};
      if (entry->bytes > formats::DecodeLimits().file_bytes)
        throw SampleFault{Reason::kImageTooLarge, fmt::format("the image has {} bytes", entry->bytes),
                          entry->offset};
      return *entry;
    }
    std::vector<std::string> names;
    for (const auto& [extension, entry] : group_.members) names.push_back("." + extension);
    throw SampleFault{Reason::kMissingFile,
                      fmt::format("it has no image ({}), only {}", shown_image_endings(), join(names, ", ")),
                      group_.offset};
  }

  std::string read(const TarEntry& entry, uint64_t limit, Reason reason) const {
    if (entry.bytes > limit)
      throw SampleFault{reason, fmt::format("{} bytes, more than {}", entry.bytes, limit), entry.offset};
    return file_.read(entry);
  }

  int64_t label_of(const TarEntry& entry) const {
    const std::string text = read(entry, kLargestLabel, Reason::kBadLabel);
    constexpr const char* kBlank = " \t\r\n";
    const size_t mark = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
    const size_t begin = std::min(text.find_first_not_of(kBlank, mark), text.size());
    const size_t end = text.find_last_not_of(kBlank) + 1;
    int64_t label = -1;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, label);
    if (error != std::errc() || stop != text.data() + end || label < 0 || label >= rules_.num_classes)
      throw SampleFault{Reason::kBadLabel,
                        fmt::format(".cls must be a class from 0 to {}", rules_.num_classes - 1),
                        entry.offset};
    return label;
  }

  // A .json may be large, so only its beginning is read.
  bool is_packed() const {
    const auto* entry = member("json");
    return entry && file_.read(*entry, kPackedJson.size()) == kPackedJson;
  }

  const json& json_of() {
    if (!json_.is_null()) return json_;
    const auto* entry = member("json");
    const std::string text = read(*entry, kLargestJson, Reason::kBadRow);
    json_ = parse_json(text);
    if (!json_.is_object())
      throw SampleFault{Reason::kBadRow, "its .json is not a JSON object", entry->offset};
    return json_;
  }

  std::string source_key() {
    const auto key = json_of().find(kSourceKey);
    if (key == json_.end() || !key->is_string())
      throw SampleFault{Reason::kBadRow, fmt::format("{} in its .json is not a text", kSourceKey),
                        member("json")->offset};
    return key->get<std::string>();
  }

  ListedText text_at(const TarEntry& entry, const std::string& kind, CaptionWay way, std::string text) const {
    way.file = number_;
    return {.kind = kind,
            .text = std::move(text),
            .way = std::move(way),
            .offset = entry.offset,
            .bytes = entry.bytes};
  }

  std::vector<ListedText> texts_of(const std::string& kind, const std::string& name) {
    const auto found = json_of().find(name);
    if (found == json_.end()) return {};
    auto texts = texts_in(*found);
    if (!texts)
      throw SampleFault{Reason::kBadRow,
                        fmt::format("{} in its .json is not a text or a list of texts", name),
                        member("json")->offset};
    std::vector<ListedText> listed;
    for (auto& text : *texts) {
      listed.push_back(text_at(*member("json"), kind, {.as = ReadAs::kJson, .field = name}, std::move(text)));
      listed.back().item = listed.size() - 1;
    }
    return listed;
  }

  std::vector<ListedText> captions_of(const CaptionConfig& kind) {
    const std::string column = kind.column.empty() ? kind.name : kind.column;
    const bool is_own = kind.column.empty() && kind.name == "caption";  // WebDataset's own place for captions
    const auto* entry = member(is_own ? "txt" : column);
    if (entry && column != "json")
      return {text_at(*entry, kind.name, {.as = ReadAs::kText},
                      read(*entry, kLargestCaption, Reason::kCaptionTooLong))};
    return member("json") ? texts_of(kind.name, column) : std::vector<ListedText>();
  }

  const TarFile& file_;
  uint32_t number_;  // of the shard
  const SampleGroup& group_;
  const ShardRules& rules_;
  json json_;
};

// Groups members and faults, in their order, into samples.
class Grouper {
 public:
  Grouper(const fs::path& shard, const TarFile& file, const ShardRules& rules)
      : shard_(shard), file_(file), rules_(rules), number_(listing_.file({.path = shard})) {}

  void take(const TarEntry& entry) {
    auto name = split_member_name(entry.name);
    if (!name) return;
    enter(name->key, entry.offset);
    if (!group_->members.emplace(name->extension, &entry).second) group_->doubled = name->extension;
  }

  void take(const TarFault& fault) {
    const auto name = split_member_name(fault.name);
    const std::string text = fmt::format("{} (byte {})", fault.reason, fault.offset);
    if (!fault.is_damage) {
      if (!name) return;
      enter(name->key, fault.offset);
      group_->refused = fmt::format("its .{} is {}", name->extension, text);
      return;
    }
    log::warning("{}: {}; its content up to byte {} is lost", shard_.string(), text, fault.end);
    if (name) enter(name->key, fault.offset);
    if (group_) {
      group_->damage = text;
      finish();
    } else {
      lost_at_ = fault.offset;
    }
    damage_before_ = text;
  }

  Listing finished() {
    if (lost_at_) {  // no sample follows that could report the damage
      group_ = SampleGroup{.key = fmt::format("{} byte {}", shard_.filename().string(), *lost_at_),
                           .offset = *lost_at_,
                           .damage = damage_before_};
    }
    check_end();
    finish();
    return std::move(listing_);
  }

 private:
  void enter(const std::string& key, uint64_t offset) {
    if (group_ && group_->key == key) return;
    finish();
    group_ = SampleGroup{.key = key, .offset = offset};
    if (!damage_before_.empty()) group_->damage = "it is next to damage: " + damage_before_;
    damage_before_.clear();
    lost_at_.reset();
  }

  // Whoever wrote an archive without an end mark may have been killed within its last sample.
  void check_end() {
    if (!group_ || file_.index().has_end_mark || !group_->damage.empty()) return;
    std::string missing;
    for (const auto& extension : before_)
      if (group_->members.count(extension) == 0) missing = "." + extension;
    if (before_.empty() && group_->members.size() < 2) missing = "further members";
    if (!missing.empty())
      group_->damage = fmt::format("the archive has no end mark, and its last sample lacks {}", missing);
  }

  void finish() {
    if (!group_) return;
    Record record{.key = group_->key, .file = number_, .offset = group_->offset};
    std::optional<SampleFault> fault;
    try {
      Sample(file_, number_, *group_, rules_).fill(record);
    } catch (const SampleFault& found) {
      fault = found;
    } catch (const MachineFault&) {
      throw;
    } catch (const UserError& error) {
      fault = {Reason::kUnreadableFile, error.what(), group_->offset};
    }
    listing_.add(std::move(record));
    if (fault)
      listing_.reject(fault->reason, fmt::format("{}: {}", shard_.filename().string(), fault->detail),
                      fault->offset);
    before_.clear();
    for (const auto& [extension, entry] : group_->members) before_.push_back(extension);
    group_.reset();
  }

  const fs::path& shard_;
  const TarFile& file_;
  const ShardRules& rules_;
  Listing listing_;
  uint32_t number_;
  std::optional<SampleGroup> group_;
  std::vector<std::string> before_;  // extensions of the group before
  std::string damage_before_;        // before the next group
  std::optional<uint64_t> lost_at_;  // damage that no group reports yet
};

}  // namespace

std::optional<MemberName> split_member_name(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  const auto top = name.substr(0, name.find('/'));
  if (top.size() >= 4 && top.starts_with("__") && top.ends_with("__")) return std::nullopt;
  const size_t slash = name.rfind('/');
  const size_t base = slash == std::string_view::npos ? 0 : slash + 1;
  const size_t dot = name.find('.', base);
  if (dot == std::string_view::npos || dot == base) return std::nullopt;
  MemberName result{.key = std::string(name.substr(0, dot)), .extension = std::string(name.substr(dot + 1))};
  for (char& c : result.extension)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return result;
}

std::string hint_of_members(const fs::path& shard, const std::string& key) {
  const TarFile file = open_archive(shard);
  std::vector<std::string> members, fields;
  for (const auto& entry : file.index().entries) {
    const auto name = split_member_name(entry.name);
    if (!name || name->key != key) continue;
    members.push_back("." + name->extension);
    if (name->extension != "json" || entry.bytes > kLargestJson) continue;
    const json content = parse_json(file.read(entry));
    if (!content.is_object()) continue;
    for (const auto& [field, value] : content.items()) fields.push_back(field);
  }
  if (members.empty()) return "";
  return fmt::format(
      " The members of {} are {}{}.", printable(key), name_some(members),
      fields.empty() ? "" : fmt::format("; the fields of its .json are {}", name_some(fields)));
}

Listing list_shard(const fs::path& shard, const ShardRules& rules) {
  const TarFile file = open_archive(shard);
  const auto& [entries, faults, has_end_mark] = file.index();
  if (!has_end_mark)
    log::warning("{}: its end mark is missing, as if its writer had been stopped; its {} members are whole.",
                 shard.string(), entries.size());
  Grouper grouper(shard, file, rules);
  size_t next = 0;
  for (size_t i = 0; i <= entries.size(); ++i) {
    while (next < faults.size() && faults[next].before == i) grouper.take(faults[next++]);
    if (i < entries.size()) grouper.take(entries[i]);
  }
  return grouper.finished();
}

}  // namespace pixart::data
