#include "pixart/data/pack.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "pack_sample.h"
#include "pack_state.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/base/parallel.h"
#include "pixart/base/progress.h"
#include "pixart/base/words.h"
#include "pixart/data/quarantine_file.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/tar.h"
#include "shard_samples.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kPackedAtOnce = 64;  // read and decoded in parallel, then written

// Locks the folder for one process.
class Lock {
 public:
  explicit Lock(const fs::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
    if (descriptor_ >= 0) ::close(descriptor_);
    throw UserError(
        folder.string() + ": another process is packing into this folder, or its lock cannot be opened.",
        ExitCode::kFolderOwned);
  }
  ~Lock() { ::close(descriptor_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int descriptor_;
};

std::string shard_stem(const std::string& source) {
  std::string name = source;
  for (char& c : name)
    if (!std::isalnum(uint8_t(c)) && c != '-' && c != '_') c = '-';
  return name;
}

std::string shard_name(const std::string& source, size_t number) {
  return fmt::format("{}-{:06}.tar", shard_stem(source), number);
}

bool is_intact(const fs::path& folder, const PackedShard& shard) {
  std::error_code error;
  const fs::path path = folder / shard.file;
  const auto bytes = fs::file_size(path, error);
  return !error && bytes == shard.bytes && formats::sha256_of_file(path) == shard.sha256;
}

// Drops the first damaged shard and all that follow.
void keep_intact(const fs::path& folder, PackState& state) {
  std::vector<char> intact(state.shards.size());
  for_each_in_parallel(int64_t(intact.size()),
                       [&](int64_t i) { intact[size_t(i)] = is_intact(folder, state.shards[size_t(i)]); });
  const auto first_bad = std::find(intact.begin(), intact.end(), char(false)) - intact.begin();
  state.shards.resize(size_t(first_bad));
}

OwnNames own_names(const PackState& state) {
  return {.files = {shard_stem(state.source) + R"(-[0-9]{6,}\.tar)", R"(classes\.txt)",
                    R"(quarantine\.jsonl)", R"(\.?pack\.json)", R"(\.pack-rejected\.jsonl)"}};
}

bool holds_only(const fs::path& folder, const std::vector<fs::path>& known) {
  std::error_code error;
  size_t count = 0;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) ++count;
  return !error && count == known.size();
}

// The state from which packing continues: of an empty folder, or of a pack of the same source. Leftovers of a
// kill are deleted only after the folder is known to be ours.
PackState begin(const PackState& wanted, const fs::path& folder) {
  auto found = read_pack_state(folder);
  if (!found) {
    if (!holds_only(folder, find_leftovers(folder, own_names(wanted))))
      throw UserError(folder.string() +
                      " holds files that are not of a pack. Choose a folder that is new or empty.");
    remove_leftovers(folder, own_names(wanted));
    return wanted;
  }
  Problems problems;
  const auto compare = [&](const char* what, const auto& was, const auto& is) {
    if (was != is) problems.add(fmt::format("{} was {}, now it is {}", what, was, is));
  };
  compare("the source", found->source, wanted.source);
  compare("its type", found->type, wanted.type);
  if (found->fingerprint != wanted.fingerprint) problems.add("the source's samples have changed since then");
  compare("--shard-bytes", found->options.shard_bytes, wanted.options.shard_bytes);
  compare("--shard-samples", found->options.shard_samples, wanted.options.shard_samples);
  compare("verification", found->options.verify, wanted.options.verify);
  problems.throw_if_any(folder.string() + " holds another pack (remove it, or choose another folder)");
  remove_leftovers(folder, own_names(*found));
  keep_intact(folder, *found);
  return *found;
}

// Which members the samples of the shards have. Some readers, e.g. the package datasets of Hugging Face,
// refuse shards whose samples have different ones.
class MemberSets {
 public:
  void add(const Members& members) {
    std::string extensions;
    for (const auto& [name, content] : members)
      extensions += (extensions.empty() ? "." : " .") + split_member_name(name)->extension;
    ++all_[extensions];
    of_shard_.insert(extensions);
  }
  void end_shard() {
    num_mixed_ += of_shard_.size() > 1 ? 1 : 0;
    of_shard_.clear();
  }
  void warn_if_mixed(const std::string& source) const {
    if (all_.size() < 2) return;
    std::vector<std::string> parts;
    for (const auto& [extensions, count] : all_) parts.push_back(fmt::format("{} ({})", extensions, count));
    log::warning(
        "source {}: the samples have different members: {}; {} shard(s) mix them. pixart reads such shards; "
        "readers that want the same members of each sample, such as the package datasets, refuse them.",
        source, join(parts, ", "), num_mixed_);
  }

 private:
  std::map<std::string, int64_t> all_;  // number of samples
  std::set<std::string> of_shard_;
  int64_t num_mixed_ = 0;
};

class Shards {
 public:
  Shards(const fs::path& folder, PackState& state) : folder_(folder), state_(state) {}

  void add(int64_t row, const Members& members) {
    uint64_t bytes = 0;
    for (const auto& [name, content] : members) bytes += formats::TarWriter::size_of(name, content.size());
    if (writer_ && is_full(bytes)) close(row);
    if (!writer_) {
      open_ = {.file = shard_name(state_.source, state_.shards.size()), .begin = next_row()};
      writer_ = std::make_unique<formats::TarWriter>(folder_ / open_.file);
      open_.rejected = std::move(waiting_), waiting_.clear();
    }
    for (const auto& [name, content] : members) writer_->add(name, content);
    sets_.add(members);
    ++open_.samples;
  }
  void reject(const Rejection& rejection) { (writer_ ? open_.rejected : waiting_).push_back(rejection); }

  void finish(int64_t rows) {
    if (writer_) return close(rows);
    if (state_.shards.empty() || state_.shards.back().end == rows) return;
    auto& last = state_.shards.back();  // the remaining rows were all rejected
    last.rejected.insert(last.rejected.end(), waiting_.begin(), waiting_.end());
    last.end = rows;
    save_last_shard(folder_, state_, waiting_);
  }
  const MemberSets& member_sets() const { return sets_; }
  int64_t next_row() const { return state_.shards.empty() ? 0 : state_.shards.back().end; }

 private:
  bool is_full(uint64_t more) const {
    const auto& limits = state_.options;
    return (limits.shard_samples > 0 && open_.samples >= limits.shard_samples) ||
           writer_->size() + more + formats::TarWriter::kEndBytes > limits.shard_bytes;
  }
  void close(int64_t end) {
    open_.end = end;
    open_.bytes = writer_->size() + formats::TarWriter::kEndBytes;
    open_.sha256 = writer_->commit();
    writer_.reset();
    sets_.end_shard();
    state_.shards.push_back(std::move(open_));
    save_last_shard(folder_, state_, state_.shards.back().rejected);
  }

  const fs::path& folder_;
  PackState& state_;
  std::unique_ptr<formats::TarWriter> writer_;
  PackedShard open_;
  std::vector<Rejection> waiting_;  // rejections before the next shard is open
  MemberSets sets_;
};

// The folders of the source as absolute paths, the longest first.
std::vector<std::string> places_of(const SourceConfig& config) {
  std::vector<std::string> places;
  for (const fs::path& path :
       {config.path, config.images, config.path.parent_path(), config.images.parent_path()}) {
    if (path.empty()) continue;
    std::error_code error;
    for (const fs::path& whole :
         {fs::absolute(path, error).lexically_normal(), fs::weakly_canonical(path, error)})
      if (whole.has_filename()) places.push_back(whole.string() + "/");
  }
  std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  return places;
}

// A pack is for others, whom the folders of this machine do not concern.
void leave_out_places(const std::vector<std::string>& places, std::vector<Rejection>& rejected) {
  for (auto& rejection : rejected)
    for (const auto& place : places)
      for (size_t at; (at = rejection.detail.find(place)) != std::string::npos;)
        rejection.detail.erase(at, place.size());
}

// Limits count here, too, not only the file of scores.
std::string selection_fingerprint(const Dataset& dataset) {
  if (!dataset.selection()) return {};
  const auto& verdicts = dataset.selection()->verdict_of;
  return formats::sha256({reinterpret_cast<const char*>(verdicts.data()), verdicts.size()});
}

std::vector<bool> listed_as_bad(const Dataset& dataset) {
  std::vector<bool> is_bad(size_t(dataset.size()));
  for (const auto& rejection : dataset.rejected()) is_bad[size_t(rejection.row)] = true;
  for (int64_t row = 0; row < dataset.size(); ++row)
    if (dataset.is_left_out(row)) is_bad[size_t(row)] = true;
  return is_bad;
}

void write_shards(const SourceConfig& config, const Dataset& dataset, const fs::path& folder,
                  PackState& state) {
  Shards shards(folder, state);
  const int64_t first = shards.next_row(), rows = dataset.size();
  if (first >= rows) return;
  const Packer packer(config, dataset, state.options.verify);
  const auto is_bad = listed_as_bad(dataset);
  const auto places = places_of(config);
  Progress progress("pack " + config.name, rows, "sample", first);
  for (int64_t begin = first; begin < rows; begin += kPackedAtOnce) {
    std::vector<PackedSample> samples(size_t(std::min(kPackedAtOnce, rows - begin)));
    for_each_in_parallel(int64_t(samples.size()), [&](int64_t i) {
      if (!is_bad[size_t(begin + i)]) samples[size_t(i)] = packer.pack(begin + i);
    });
    for (size_t i = 0; i < samples.size(); ++i) {
      if (auto& rejection = samples[i].rejection) {
        std::vector<Rejection> one = {std::move(*rejection)};
        leave_out_places(places, one);
        shards.reject(one.front());
      }
      if (!samples[i].members.empty()) shards.add(begin + int64_t(i), samples[i].members);
    }
    progress.update(begin + int64_t(samples.size()));
  }
  shards.finish(rows);
  shards.member_sets().warn_if_mixed(config.name);
}

void write_class_names(const fs::path& folder, const std::vector<std::string>& names) {
  if (names.empty()) return;
  for (const auto& name : names)
    if (name.find_first_of("\r\n") != std::string::npos)
      throw UserError("a class name with a line break cannot be written to classes.txt: " + name);
  write_file_atomically(folder / "classes.txt", join(names, "\n") + "\n");
}

}  // namespace

PackReport pack(const SourceConfig& config, const Dataset& dataset, const fs::path& out,
                const PackOptions& options) {
  check_budget(config, make_ledger(config.name, dataset, {}));
  create_folders(out);
  require_own_quarantine(out / "quarantine.jsonl");
  const Lock lock(out);
  PackState state =
      begin({.source = config.name,
             .type = config.type,
             .fingerprint = formats::sha256(dataset.fingerprint() + captions_fingerprint(dataset) +
                                            selection_fingerprint(dataset)),
             .options = options,
             .shards = {}},
            out);
  const auto kept = int64_t(state.shards.size());
  if (kept == 0 || state.shards.back().end < dataset.size()) save_pack_state(out, state);
  write_class_names(out, dataset.class_names());
  write_shards(config, dataset, out, state);

  std::vector<Rejection> found;
  PackReport report{.ledger = {}, .shards = int64_t(state.shards.size()), .kept = kept};
  int64_t samples = 0;
  for (const auto& shard : state.shards) {
    found.insert(found.end(), shard.rejected.begin(), shard.rejected.end());
    samples += shard.samples;
    report.bytes += shard.bytes;
  }
  report.ledger = make_ledger(config.name, dataset, std::move(found));
  leave_out_places(places_of(config), report.ledger.rejected);
  write_quarantine(out / "quarantine.jsonl", report.ledger);
  if (samples == 0)
    throw UserError("source " + config.name + ": no sample can be packed; see " +
                    (out / "quarantine.jsonl").string() + ".");
  PIXART_CHECK(samples == report.ledger.accepted(), "{} samples in the shards, {} of {} accepted", samples,
               report.ledger.accepted(), report.ledger.listed);
  check_budget(config, report.ledger);
  save_pack_manifest(out, state, report.ledger);
  return report;
}

}  // namespace pixart::data
