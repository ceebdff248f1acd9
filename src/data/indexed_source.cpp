// Opens a source of files: maps its index, or lists it and makes the index.
#include <algorithm>
#include <cctype>

#include "index_file.h"
#include "pixart/base/claim.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/parallel.h"
#include "pixart/base/words.h"
#include "pixart/config/config.h"
#include "pixart/data/web_address.h"
#include "pixart/formats/hash.h"
#include "remote_shards.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// All keys that a listing depends on, one in each line. The signature of an address is not one of them.
std::string config_text(const SourceConfig& config) {
  const bool is_remote = is_address(config.path.native());
  std::string text =
      "folder: " +
      (is_remote ? shown_address(config.path) : fs::absolute(config.path).lexically_normal().string()) + "\n";
  for (const auto& [path, key, value, is_default, line, override_index] : config::values(config))
    if (path != "name" && path != "quarantine_budget" && path != "damaged_images" &&
        !path.starts_with("scores") && !path.starts_with("cache_") && !(is_remote && path == "path"))
      text += fmt::format("{}: {}\n", path, value);
  return text;
}

// A hash of the files that the path names if it is a glob, or of shards on servers, which it makes known to this
// process; otherwise "".
std::string named_files(const SourceConfig& config, const ListedSource& source) {
  std::error_code error;
  if (source.files == nullptr || (fs::exists(config.path, error) && !names_addresses(config.path))) return {};
  std::string names;
  for (const auto& path : source.files(config)) names += path.string() + "\n";
  return formats::sha256(names);
}

// The path of an input that is not as it was; "" if all are.
std::string changed_input(const std::vector<InputStamp>& inputs) {
  constexpr size_t kBlock = 256;
  constexpr int kThreads = 16;  // because file servers are slow to answer
  const size_t blocks = (inputs.size() + kBlock - 1) / kBlock;
  std::vector<std::string> changed(blocks);
  const auto compare = [&](int64_t block) {
    const auto end = std::min(inputs.size(), (size_t(block) + 1) * kBlock);
    for (size_t i = size_t(block) * kBlock; i < end && changed[size_t(block)].empty(); ++i)
      if (stamp_of(inputs[i].path) != inputs[i]) changed[size_t(block)] = inputs[i].path;
  };
  for_each_in_parallel(int64_t(blocks), compare, kThreads);
  const auto first =
      std::find_if(changed.begin(), changed.end(), [](const auto& path) { return !path.empty(); });
  return first == changed.end() ? std::string() : *first;
}

// Another process lists the source.
struct MadeElsewhere {};

class Opening {
 public:
  Opening(const SourceConfig& config, const ListedSource& source, const IndexPlace& place)
      : config_(config),
        source_(source),
        place_(place),
        file_(index_file(config, place)),
        lock_(file_.string() + ".lock"),
        text_(config_text(config)) {}

  std::unique_ptr<Dataset> open() {
    if (!place_.lists_anew)
      if (auto found = load_or_claim()) return found;
    try {
      return list();
    } catch (const MadeElsewhere&) {
      log::info("source {}: another process makes {}", config_.name, file_.string());
    }
    if (take_claim(/*waits=*/true))
      if (auto found = load()) return found;
    return list();
  }

 private:
  // What the index has; if it is stale, this process makes it anew, or waits for one that does.
  std::unique_ptr<Dataset> load_or_claim() {
    std::error_code error;
    if (auto found = load()) return found;
    if (!fs::exists(file_, error)) return nullptr;
    log::info("source {}: {} is made anew: {}", config_.name, file_.string(), why_);
    return take_claim(/*waits=*/true) ? load() : nullptr;
  }

  std::unique_ptr<Dataset> load() {
    auto found = map_index(file_, why_);
    if (!found) return nullptr;
    IndexNotes notes{.index = file_, .id = found->id, .shared = place_.shared};
    why_ = why_stale(found->identity, notes);
    return why_.empty() ? make_dataset(std::move(found->index), std::move(notes)) : nullptr;
  }

  std::string why_stale(const IndexIdentity& identity, const IndexNotes& notes) const {
    if (identity.config != text_) return "the config of the source has changed";
    if (notes.is_changed()) return "captions or images have changed since it was made";
    if (identity.files != named_files(config_, source_)) return "the path names other files";
    const auto path = changed_input(identity.inputs);
    return path.empty() ? "" : path + " has changed";
  }

  // Whether this process makes the index. Without a lock, as in a folder without write permission, no index is
  // made.
  bool take_claim(bool waits) {
    if (claim_ || !can_write_) return can_write_;
    try {
      create_folders(file_.parent_path());
      if (auto claim = Claim::try_take(lock_, place_.shared)) claim_.emplace(std::move(*claim));
    } catch (const UserError& error) {
      if (error.code() == ExitCode::kRequeue) throw;
      log::warning("source {}: its index is not kept: {}", config_.name, error.what());
      return can_write_ = false;
    }
    if (!claim_ && waits) claim_.emplace(Claim::wait_for(lock_, file_, place_.shared));
    return claim_.has_value();
  }

  std::unique_ptr<Dataset> list() {
    const double begin = monotonic_seconds();
    ListingWatch watch(place_.least_rows, [this] {
      if (!take_claim(/*waits=*/false) && can_write_) throw MadeElsewhere();
    });
    watch.after_many = [this] {
      if (claim_) claim_->sign_of_life();
    };
    for (const auto& caption : config_.captions)
      if (!caption.from.empty()) watch.reads(caption.from);
    IndexIdentity identity{.config = text_, .files = named_files(config_, source_)};
    auto index = make_index(config_, source_.list(config_, watch));
    if (index.size() < place_.least_rows || !take_claim(/*waits=*/false))
      return make_dataset(std::move(index), {});
    identity.inputs = watch.inputs();
    const int64_t rows = index.size();
    if (!write(index, identity)) return make_dataset(std::move(index), {});
    index = {};  // the file is mapped instead
    log::info("source {}: made {} ({} rows in {})", config_.name, file_.string(), with_thousands(rows),
              human_seconds(monotonic_seconds() - begin));
    auto found = map_index(file_, why_);  // if inputs changed meanwhile, the next start makes it anew
    if (!found)
      throw UserError(fmt::format("{} cannot be read: {}.", file_.string(), why_), ExitCode::kStorage);
    return make_dataset(std::move(found->index), {.index = file_, .id = found->id, .shared = place_.shared});
  }

  bool write(const SourceIndex& index, const IndexIdentity& identity) {
    const SignsOfLife signs(*claim_);
    try {
      write_index(file_, index, identity);
      return true;
    } catch (const UserError& error) {
      log::warning("source {}: its index is not kept: {}", config_.name, error.what());
      return false;
    }
  }

  const SourceConfig& config_;
  const ListedSource& source_;
  const IndexPlace& place_;
  fs::path file_, lock_;
  std::string text_, why_;
  std::optional<Claim> claim_;
  bool can_write_ = true;
};

}  // namespace

fs::path index_file(const SourceConfig& config, const IndexPlace& place) {
  std::string name;
  for (const char c : config.name) name += std::isalnum(uint8_t(c)) != 0 || c == '-' || c == '_' ? c : '_';
  return place.folder / (name + ".index");
}

std::unique_ptr<Dataset> open_listed(const SourceConfig& config, const ListedSource& source,
                                     const IndexPlace& place) {
  if (!place.folder.empty()) return Opening(config, source, place).open();
  ListingWatch watch;
  return make_dataset(config, source.list(config, watch));
}

}  // namespace pixart::data
