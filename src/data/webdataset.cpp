// A source of WebDataset shards. A sample is a group of consecutive members of a tar file whose names are
// equal up to the first dot (a/b.jpg, a/b.txt; the key is a/b). A sample's image is the first of its members
// whose extension is in formats::image_endings(); .txt is its caption, .cls its class, and .json holds
// further fields; `captions` names the captions among them (column: a field, or the extension of a text
// member). Other members are skipped. If a .json begins with source_key, as `pixart data pack` writes it,
// this is the key. Opening reads only headers, captions and labels.
//
// Damage in a shard rejects the samples that it touches and the undamaged samples on both sides of it, which
// may have lost members. Each rejection names the byte in the shard.
#include <algorithm>

#include "links.h"
#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/machine_fault.h"
#include "records.h"
#include "remote_shards.h"
#include "shard_paths.h"
#include "shard_samples.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostShardClasses = 1'000'000;
constexpr int kMostThreads = 16;  // more do not help a disk

// The text of classes.txt next to the shards; "" if it does not exist.
std::string class_names_text(const SourceConfig& config, const fs::path& shard) {
  if (is_remote(shard)) return read_next_to(config, shard, "classes.txt").value_or("");
  const fs::path path = shard.parent_path() / "classes.txt";
  std::error_code error;
  return fs::exists(path, error) ? read_file(path, uint64_t{64} << 20) : "";
}

// One name per line.
std::vector<std::string> class_names_in(const std::string& text) {
  std::vector<std::string> names;
  for (size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string name = text.substr(begin, end - begin);
    if (name.ends_with('\r')) name.pop_back();
    names.push_back(std::move(name));
    begin = end + 1;
  }
  return names;
}

// The result of a part: what is wrong with the shard, or its samples.
std::string listed_shard(const fs::path& shard, const ShardRules& rules, ListingWatch& own,
                         ListingWatch& watch) {
  PartWriter writer;
  try {
    own.reads(shard);  // asks the server of a shard for its size
    Listing part;
    retry_machine_faults("read " + shard.string(), [&] { part = list_shard(shard, rules); });
    watch.found(part.size());
    writer.text("");
    part.write(writer);
  } catch (const MachineFault&) {
    throw;
  } catch (const UserError& error) {
    if (error.code() != ExitCode::kBadInput) throw;  // a server that does not answer
    writer.text(error.what());                       // reported together with the others
  }
  return writer.take();
}

void list_shards(const SourceConfig& config, const std::vector<fs::path>& shards, const ShardRules& rules,
                 ListingWatch& watch, Listing& all) {
  std::vector<std::string> faults;
  const auto make = [&](int64_t i, ListingWatch& own) {
    return listed_shard(shards[size_t(i)], rules, own, watch);
  };
  const auto take = [&](int64_t, std::string_view result) {
    PartReader reader(result);
    if (const auto fault = reader.text(); !fault.empty())
      faults.emplace_back(fault);
    else
      all.append(Listing::read(reader));
  };
  run_step({.name = "shards",
            .what = "source " + config.name,
            .unit = "shard",
            .parts = int64_t(shards.size()),
            .threads = kMostThreads,
            .is_last = true,
            .make = make,
            .take = take},
           watch);
  constexpr size_t kMostNamed = 20;
  Problems problems;
  for (size_t i = 0; i < std::min(faults.size(), kMostNamed); ++i) problems.add(faults[i]);
  if (faults.size() > kMostNamed) problems.add(fmt::format("{} more shards", faults.size() - kMostNamed));
  problems.throw_if_any(subject_of(config));
}

// Shards that the config names, one by one or by a pattern, may be links; those in its folder may not lead out.
void check_links(const SourceConfig& config, const std::vector<fs::path>& shards) {
  if (is_remote(shards.front())) return;
  std::error_code error;
  const bool is_folder = fs::is_directory(config.path, error);
  Links links(config, {is_folder ? config.path : shards.front().parent_path()});
  if (is_folder)
    for (const auto& shard : shards) links.admit(shard);
  links.admit(shards.front().parent_path() / "classes.txt");
  links.throw_if_any();
}

// What the first sample without a caption has, where that ends the start. A shard is listed again for it.
std::string hint_of_first_without(const SourceConfig& config, const Listing& all) {
  const bool are_all_here = std::all_of(config.captions.begin(), config.captions.end(),
                                        [](const CaptionConfig& kind) { return kind.from.empty(); });
  if (config.missing_caption != MissingCaption::kError || !are_all_here || !all.has_captions) return "";
  const auto is_rejected = all.rejected_rows();
  for (int64_t row = 0; row < all.size(); ++row)
    if (!is_rejected[size_t(row)] && !all.has_texts(row))
      return hint_of_members(all.image_file(row), std::string(all.key(row)));
  return "";
}

}  // namespace

Listing list_webdataset(const SourceConfig& config, ListingWatch& watch) {
  // An address may be signed, and a list of addresses changes with their signatures; both are compared otherwise.
  if (!names_addresses(config.path)) watch.reads(config.path);
  const auto shards = find_shards(config);
  check_links(config, shards);
  Listing all;
  all.type = "webdataset";
  if (!is_remote(shards.front())) watch.reads(shards.front().parent_path() / "classes.txt");
  all.class_names = class_names_in(class_names_text(config, shards.front()));
  ShardRules rules{
      .kinds = config.captions,
      .num_classes = all.class_names.empty() ? kMostShardClasses : int64_t(all.class_names.size())};
  std::erase_if(rules.kinds, [](const CaptionConfig& kind) { return !kind.from.empty(); });
  if (config.captions.empty()) rules.kinds = {{.name = "caption", .column = {}, .from = {}}};
  list_shards(config, shards, rules, watch, all);

  int64_t largest = -1;
  bool has_captions = false;
  for (int64_t row = 0; row < all.size(); ++row) {
    largest = std::max<int64_t>(largest, all.row(row).label);
    has_captions = has_captions || all.has_texts(row);
  }
  if (largest < 0) all.class_names.clear();
  if (largest >= 0 && all.class_names.empty())
    for (int64_t i = 0; i <= largest; ++i) all.class_names.push_back(std::to_string(i));
  all.has_captions = has_captions || largest < 0 || !config.captions.empty();
  all.hint = hint_of_first_without(config, all);
  return all;
}

}  // namespace pixart::data
