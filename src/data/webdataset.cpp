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
#include <atomic>
#include <chrono>
#include <mutex>

#include "links.h"
#include "listing.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/parallel.h"
#include "pixart/base/progress.h"
#include "records.h"
#include "shard_paths.h"
#include "shard_samples.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostClasses = 1'000'000;
constexpr int kMostThreads = 16;  // more do not help a disk

// Reads classes.txt next to the shards, one name per line; nothing if there is no such file.
std::vector<std::string> read_class_names(const fs::path& folder) {
  const fs::path path = folder / "classes.txt";
  std::error_code error;
  if (!fs::exists(path, error)) return {};
  std::vector<std::string> names;
  const std::string text = read_file(path, uint64_t{64} << 20);
  for (size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string name = text.substr(begin, end - begin);
    if (name.ends_with('\r')) name.pop_back();
    names.push_back(std::move(name));
    begin = end + 1;
  }
  return names;
}

// A progress bar for work that takes more than some seconds; several threads move it.
class SlowProgress {
 public:
  SlowProgress(std::string what, int64_t total, std::string unit)
      : what_(std::move(what)), unit_(std::move(unit)), total_(total) {}
  void advance() {
    constexpr std::chrono::seconds kPatience{3};
    const std::scoped_lock lock(mutex_);
    ++done_;
    if (!bar_ && done_ < total_ && std::chrono::steady_clock::now() - start_ > kPatience)
      bar_ = std::make_unique<Progress>(what_, total_, unit_, done_);
    if (bar_) bar_->update(done_);
  }

 private:
  std::mutex mutex_;
  std::string what_, unit_;
  int64_t total_, done_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::unique_ptr<Progress> bar_;
};

std::vector<Listing> list_shards(const SourceConfig& config, const std::vector<fs::path>& shards,
                                 const ShardRules& rules) {
  std::vector<Listing> parts(shards.size());
  std::vector<std::string> faults(shards.size());
  SlowProgress progress("source " + config.name, int64_t(shards.size()), "shard");
  const auto list_one = [&](int64_t i) {
    try {
      retry_machine_faults("read " + shards[size_t(i)].string(),
                           [&] { parts[size_t(i)] = list_shard(shards[size_t(i)], rules); });
    } catch (const MachineFault&) {
      throw;
    } catch (const UserError& error) {  // reported together with the others
      faults[size_t(i)] = error.what();
    }
    progress.advance();
  };
  for_each_in_parallel(int64_t(shards.size()), list_one, kMostThreads);
  constexpr size_t kMostNamed = 20;
  Problems problems;
  std::erase(faults, "");
  for (size_t i = 0; i < std::min(faults.size(), kMostNamed); ++i) problems.add(faults[i]);
  if (faults.size() > kMostNamed) problems.add(fmt::format("{} more shards", faults.size() - kMostNamed));
  problems.throw_if_any(subject_of(config));
  return parts;
}

void append(Listing& all, Listing& part) {
  const auto first = int64_t(all.records.size());
  for (auto& rejection : part.rejected) {
    rejection.row += first;
    all.rejected.push_back(std::move(rejection));
  }
  std::move(part.records.begin(), part.records.end(), std::back_inserter(all.records));
  part = {};
}

// Shards that the config names, one by one or by a pattern, may be links; those in its folder may not lead out.
void check_links(const SourceConfig& config, const std::vector<fs::path>& shards) {
  std::error_code error;
  const bool is_folder = fs::is_directory(config.path, error);
  Links links(config, {is_folder ? config.path : shards.front().parent_path()});
  if (is_folder)
    for (const auto& shard : shards) links.admit(shard);
  links.admit(shards.front().parent_path() / "classes.txt");
  links.throw_if_any();
}

}  // namespace

std::unique_ptr<Dataset> open_webdataset(const SourceConfig& config) {
  const auto shards = find_shards(config);
  check_links(config, shards);
  Listing all{.type = "webdataset", .class_names = read_class_names(shards.front().parent_path())};
  ShardRules rules{.kinds = config.captions,
                   .num_classes = all.class_names.empty() ? kMostClasses : int64_t(all.class_names.size())};
  std::erase_if(rules.kinds, [](const CaptionConfig& kind) { return !kind.from.empty(); });
  if (config.captions.empty()) rules.kinds = {{.name = "caption", .column = {}, .from = {}}};
  for (auto& part : list_shards(config, shards, rules)) append(all, part);

  int64_t largest = -1;
  bool has_captions = false;
  for (const auto& record : all.records) {
    largest = std::max(largest, record.row.label);
    has_captions = has_captions || !record.row.captions.empty();
  }
  if (largest < 0) all.class_names.clear();
  if (largest >= 0 && all.class_names.empty())
    for (int64_t i = 0; i <= largest; ++i) all.class_names.push_back(std::to_string(i));
  all.has_captions = has_captions || largest < 0 || !config.captions.empty();
  return make_dataset(config, std::move(all));
}

}  // namespace pixart::data
