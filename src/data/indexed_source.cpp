// Opens a source of files: maps its index, or lists it and makes the index.
#include <algorithm>
#include <cctype>

#include "caption_table.h"
#include "index_file.h"
#include "parquet_table.h"
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
  const bool is_named = fs::exists(config.path, error) && !names_addresses(config.path);
  if (source.files == nullptr || (is_named && !source.compares_names)) return {};
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

// The path of an image that has another size than in the index; "" if none of those looked at has. A start looks at some
// of them, from the first row to the last: an edited file is noticed when it is read, a whole set that was made anew at once.
std::string changed_image(const SourceIndex& index) {
  constexpr int64_t kLooks = 256;
  constexpr int kThreads = 16;
  const int64_t step = index.size() / kLooks + 1, looks = (index.size() + step - 1) / step;
  std::vector<std::string> changed(static_cast<size_t>(looks));
  const auto look = [&](int64_t i) {
    const auto& row = index.row(i * step);
    if (row.bytes == 0 || index.tables.files[row.file].form == FilePattern::kOne) return;
    const auto file = index.image_file(i * step);
    if (stamp_of(file).bytes != int64_t(row.bytes)) changed[size_t(i)] = file.string();
  };
  for_each_in_parallel(looks, look, kThreads);
  const auto first =
      std::find_if(changed.begin(), changed.end(), [](const auto& path) { return !path.empty(); });
  return first == changed.end() ? std::string() : *first;
}

// Thrown when a source turns out to be so large that it gets an index.
struct IsLarge {};

// The files and folders of captions that are joined.
void read_caption_inputs(const SourceConfig& config, ListingWatch& watch) {
  for (const auto& [name, weight, column, from] : config.captions) {
    if (from.empty()) continue;
    watch.reads(from);
    if (!is_caption_table(from)) continue;
    for (const auto& file : find_parquet(from)) watch.reads(file), watch.reads(file.parent_path());
  }
}

class SourceOpening {
 public:
  SourceOpening(const SourceConfig& config, const ListedSource& source, const IndexPlace& place)
      : config_(config),
        source_(source),
        place_(place),
        file_(index_file(config, place)),
        lock_(file_.string() + ".lock"),
        parts_(file_.string() + ".parts"),
        text_(config_text(config)) {}

  std::unique_ptr<Dataset> open() {
    std::error_code error;
    if (!place_.lists_anew) {
      if (auto found = load()) return found;
      if (fs::exists(file_, error)) {
        log::info("source {}: {} is made anew: {}", config_.name, file_.string(), why_);
        return list_shared();
      }
    }
    try {
      return list_alone(place_.least_rows);
    } catch (const IsLarge&) {
      return list_shared();
    }
  }

 private:
  std::unique_ptr<Dataset> load() {
    auto found = map_index(file_, why_);
    if (!found) return nullptr;
    IndexNotes notes{.index = file_, .id = found->id, .shared = place_.shared};
    why_ = why_stale(*found, notes);
    return why_.empty() ? make_dataset(std::move(found->index), std::move(notes), source_.rows) : nullptr;
  }

  std::string why_stale(const IndexFile& file, const IndexNotes& notes) const {
    const IndexIdentity& identity = file.identity;
    if (identity.config != text_) return "the config of the source has changed";
    if (notes.is_changed()) return "captions or images have changed since it was made";
    if (identity.files != named_files(config_, source_)) return "the path names other files";
    auto path = changed_input(identity.inputs);
    if (path.empty()) path = changed_image(file.index);
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
      say_not_kept(error);
      return false;
    }
    if (!claim_ && waits) claim_.emplace(Claim::wait_for(lock_, file_, place_.shared));
    return claim_.has_value();
  }

  // Without an index. Throws IsLarge as soon as `many` rows were found; 0: never.
  std::unique_ptr<Dataset> list_alone(int64_t many) {
    ListingWatch watch(many, [] { throw IsLarge(); });
    auto index = make_index(config_, source_.list(config_, watch));
    if (many > 0 && index.size() >= many) throw IsLarge();
    return make_dataset(std::move(index), {}, source_.rows);
  }

  // This process makes the index, together with others, or helps the one that makes it and then waits.
  std::unique_ptr<Dataset> list_shared() {
    while (can_write_) {
      const bool makes_index = take_claim(/*waits=*/false);
      if (!can_write_) break;
      if (makes_index && !place_.lists_anew)
        if (auto found = load_made()) return found;  // another process was faster
      try {
        if (auto made = list_with_others(makes_index)) return made;
      } catch (const UserError& error) {
        if (error.code() != ExitCode::kStorage) throw;
        say_not_kept(error);
        break;
      }
      log::info("source {}: another process makes {}", config_.name, file_.string());
      if (take_claim(/*waits=*/true))
        if (auto found = load_made()) return found;
    }
    claim_.reset();
    return list_alone(/*many=*/0);
  }

  // With the claim; a process that was late may have made parts after the index was complete.
  std::unique_ptr<Dataset> load_made() {
    auto found = load();
    if (found) delete_parts(parts_);
    return found;
  }

  // Nothing if another process makes the index.
  std::unique_ptr<Dataset> list_with_others(bool makes_index) {
    const double begin = monotonic_seconds();
    const SharedListing shared{.folder = parts_,
                               .config = text_,
                               .shared = place_.shared,
                               .makes_index = makes_index,
                               .index_claim = lock_,
                               .help_after_seconds = place_.help_after_seconds};
    ListingWatch watch;
    watch.shared = &shared;
    if (makes_index && place_.lists_anew) delete_parts(parts_);  // made from the files as they were
    if (makes_index) watch.after_many = [this] { claim_->sign_of_life(); };
    read_caption_inputs(config_, watch);
    IndexIdentity identity{.config = text_, .files = named_files(config_, source_)};
    try {
      auto listing = source_.list(config_, watch);
      if (!makes_index) return nullptr;
      const SignsOfLife signs(*claim_);
      auto index = make_index(config_, std::move(listing));
      if (index.size() < place_.least_rows) {  // as one that had more when its index was made
        delete_parts(parts_);
        return make_dataset(std::move(index), {}, source_.rows);
      }
      identity.inputs = watch.inputs();
      return publish(std::move(index), identity, begin);
    } catch (const MadeElsewhere&) {
      return nullptr;
    }
  }

  std::unique_ptr<Dataset> publish(SourceIndex index, const IndexIdentity& identity, double begin) {
    const int64_t rows = index.size();
    const bool is_written = write(index, identity);
    delete_parts(parts_);
    if (!is_written) return make_dataset(std::move(index), {}, source_.rows);
    index = {};  // the file is mapped instead
    log::info("source {}: made {} ({} rows in {})", config_.name, file_.string(), with_thousands(rows),
              human_seconds(monotonic_seconds() - begin));
    auto found = map_index(file_, why_);  // if inputs changed meanwhile, the next start makes it anew
    if (!found)
      throw UserError(fmt::format("{} cannot be read: {}.", file_.string(), why_), ExitCode::kStorage);
    return make_dataset(std::move(found->index), {.index = file_, .id = found->id, .shared = place_.shared},
                        source_.rows);
  }

  void say_not_kept(const UserError& error) {
    can_write_ = false;
    log::warning("source {}: its index is not kept: {}", config_.name, error.what());
  }

  bool write(const SourceIndex& index, const IndexIdentity& identity) {
    const SignsOfLife signs(*claim_);
    try {
      write_index(file_, index, identity);
      return true;
    } catch (const UserError& error) {
      say_not_kept(error);
      return false;
    }
  }

  const SourceConfig& config_;
  const ListedSource& source_;
  const IndexPlace& place_;
  fs::path file_, lock_, parts_;
  std::string text_, why_;
  std::optional<Claim> claim_;
  bool can_write_ = true;
};

}  // namespace

fs::path index_file(const SourceConfig& config, const IndexPlace& place) {
  std::string name;
  for (const char c : config.name) name += std::isalnum(uint8_t(c)) != 0 || c == '-' || c == '_' ? c : '_';
  const fs::path usual = place.folder / (name + ".index");
  const std::string text = config_text(config);
  if (const auto other = config_of_index(usual); !other || *other == text) return usual;
  return place.folder / fmt::format("{}-{}.index", name, formats::sha256(text).substr(0, 8));
}

std::unique_ptr<Dataset> open_listed(const SourceConfig& config, const ListedSource& source,
                                     const IndexPlace& place) {
  if (!place.folder.empty()) return SourceOpening(config, source, place).open();
  ListingWatch watch;
  return make_dataset(make_index(config, source.list(config, watch)), {}, source.rows);
}

}  // namespace pixart::data
