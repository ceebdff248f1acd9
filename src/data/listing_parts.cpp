#include "listing_parts.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <thread>

#include "part_bytes.h"
#include "pixart/base/claim.h"
#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/parallel.h"
#include "pixart/base/prefetch.h"
#include "pixart/formats/crc32c.h"
#include "pixart/formats/hash.h"
#include "slow_progress.h"

namespace pixart::data {
namespace fs = std::filesystem;

void ListingWatch::reads(const fs::path& path) {
  {
    const std::scoped_lock lock(mutex_);
    if (inputs_.count(path.string()) > 0) return;
  }
  adds(stamp_of(path));
}

void ListingWatch::adds(const InputStamp& stamp) {
  const std::scoped_lock lock(mutex_);
  inputs_.try_emplace(stamp.path, stamp);  // the first one: what is read later may be newer
}

void ListingWatch::found(int64_t rows) {
  constexpr int64_t kOften = 1024;
  give_sign_of_life();
  const int64_t before = found_.fetch_add(rows), now = before + rows;
  if (now < many_ || (many_ == 0 && !after_many)) return;
  if (rows > 0 && before >= many_ && before / kOften == now / kOften) return;
  const std::scoped_lock lock(mutex_);
  if (on_many_) on_many_();
  if (after_many) after_many();
}

std::vector<InputStamp> ListingWatch::inputs() const {
  const std::scoped_lock lock(mutex_);
  std::vector<InputStamp> all;
  for (const auto& [path, stamp] : inputs_) all.push_back(stamp);
  return all;
}

namespace {

constexpr std::string_view kPartMagic = "PIXPART1";
constexpr std::chrono::milliseconds kPartPoll{20}, kLongestPartPoll{500};

// A part's result, and the state of what it was made from.
struct MadePart {
  std::vector<InputStamp> inputs = {};
  std::string result = {};
};

MadePart make_part(const ListingStep& step, int64_t part) {
  ListingWatch own;
  MadePart made;
  made.result = step.make(part, own);
  made.inputs = own.inputs();
  return made;
}

std::string text_of(const std::vector<InputStamp>& inputs) {
  PartWriter writer;
  writer.number(inputs.size());
  for (const auto& [path, bytes, modified, changed] : inputs) {
    writer.text(path);
    for (const int64_t value : {bytes, modified, changed}) writer.number(uint64_t(value));
  }
  return writer.take();
}

std::vector<InputStamp> read_inputs(PartReader& reader) {
  constexpr size_t kLeast = 32;
  std::vector<InputStamp> inputs(reader.count(kLeast));
  for (auto& [path, bytes, modified, changed] : inputs) {
    path = reader.text();
    for (int64_t* value : {&bytes, &modified, &changed}) *value = int64_t(reader.number());
  }
  return inputs;
}

void write_part(const fs::path& file, const MadePart& made) {
  const std::string inputs = text_of(made.inputs);
  PartWriter sum;
  sum.number(formats::crc32c(made.result, formats::crc32c(inputs)));
  AtomicFile out(file, Durability::kLater);
  for (const auto piece :
       {kPartMagic, std::string_view(sum.take()), std::string_view(inputs), std::string_view(made.result)})
    out.write(piece);
  out.commit();
}

// Nothing if the file does not exist or is damaged, or if what it was made from has changed.
std::optional<MadePart> read_part(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  const std::string bytes = read_file(file);
  constexpr size_t kHead = kPartMagic.size() + sizeof(uint64_t);
  if (!bytes.starts_with(kPartMagic) || bytes.size() < kHead) return std::nullopt;
  const std::string_view body = std::string_view(bytes).substr(kHead);
  if (PartReader(std::string_view(bytes).substr(kPartMagic.size())).number() != formats::crc32c(body))
    return std::nullopt;
  try {
    PartReader reader(body);
    MadePart made{.inputs = read_inputs(reader)};
    made.result = reader.rest();
    const auto is_as_it_was = [](const InputStamp& input) { return stamp_of(input.path) == input; };
    if (!std::all_of(made.inputs.begin(), made.inputs.end(), is_as_it_was)) return std::nullopt;
    return made;
  } catch (const DamagedPart&) {
    return std::nullopt;
  }
}

void take_part(const ListingStep& step, int64_t part, const MadePart& made, ListingWatch& watch) {
  for (const auto& input : made.inputs) watch.adds(input);
  step.take(part, made.result);
}

int64_t units_of(const ListingStep& step, int64_t part) {
  return step.units == 0 ? 1 : (part + 1) * step.units / step.parts - part * step.units / step.parts;
}

// --- alone

void run_alone(const ListingStep& step, ListingWatch& watch) {
  constexpr int64_t kResultsOfThread = 2;
  const auto threads = int(std::min<int64_t>(step.threads > 0 ? step.threads : physical_cores(), step.parts));
  SlowProgress progress(step.what, step.units == 0 ? step.parts : step.units, step.unit);
  int64_t next = 0, taken = 0;
  Prefetch<int64_t, MadePart> parts(
      threads, kResultsOfThread * threads,
      [&]() -> std::optional<int64_t> { return next < step.parts ? std::optional(next++) : std::nullopt; },
      [&](int64_t part) { return make_part(step, part); });
  for (; const auto made = parts.next(); ++taken) {
    take_part(step, taken, *made, watch);
    progress.advance(units_of(step, taken));
  }
}

// --- together

class SharedStep {
 public:
  SharedStep(const ListingStep& step, ListingWatch& watch)
      : step_(step),
        watch_(watch),
        shared_(*watch.shared),
        progress_(step.what, step.units == 0 ? step.parts : step.units, step.unit) {
    const std::string identity =
        fmt::format("{}\n{} {}\n", shared_.config, step.name, step.parts) + text_of(watch.inputs());
    prefix_ = fmt::format("{}-{}", step.name, formats::sha256(identity).substr(0, 16));
    create_folders(shared_.folder);
  }

  void run() {
    const auto old = existing();
    const int threads = step_.threads > 0 ? step_.threads : physical_cores();
    for_each_in_parallel(
        step_.parts, [&](int64_t part) { make_if_free(part, old[size_t(part)]); }, threads);
    if (step_.is_last && !shared_.makes_index) throw MadeElsewhere();
    wait_for_others();
    for (int64_t part = 0; part < step_.parts; ++part) take(part);
  }

 private:
  static constexpr size_t kMostWatched = 8;
  static constexpr double kUnknownPace = 60;  // times help_after_seconds

  fs::path file_of(int64_t part) const {
    return shared_.folder / fmt::format("{}-{:06d}.part", prefix_, part);
  }
  fs::path lock_of(int64_t part) const {
    return shared_.folder / fmt::format(".lock-{}-{:06d}", prefix_, part);
  }
  bool exists(int64_t part) const {
    std::error_code error;
    return fs::exists(file_of(part), error);
  }

  // Parts that are there before this process begins: perhaps those of a killed one, whose files have changed since.
  std::vector<bool> existing() const {
    std::vector<bool> are_there;
    for (int64_t part = 0; part < step_.parts; ++part) are_there.push_back(exists(part));
    return are_there;
  }

  void give_signs() {
    if (stop_requested())
      throw UserError(fmt::format("stopped on request while {} was made. The same command continues.",
                                  shared_.folder.string()),
                      ExitCode::kRequeue);
    std::error_code error;
    if (!shared_.makes_index && !fs::exists(shared_.index_claim, error)) throw MadeElsewhere();  // it is made
    watch_.found(0);
  }

  void make_if_free(int64_t part, bool is_old) {
    give_signs();
    if (is_old && !read_part(file_of(part))) delete_file(file_of(part));
    if (!exists(part))
      if (auto claim = Claim::try_take(lock_of(part), shared_.shared)) make(part, *claim);
    if (exists(part)) progress_.advance(units_of(step_, part));
  }

  void make(int64_t part, Claim& claim) {
    if (exists(part)) return;
    try {
      const SignsOfLife signs(claim, file_of(part));
      const double begin = monotonic_seconds();
      write_part(file_of(part), make_part(step_, part));
      const std::scoped_lock lock(mutex_);
      slowest_seconds_ = std::max(slowest_seconds_, monotonic_seconds() - begin);
    } catch (const Overtaken&) {  // another process has made it
    }
  }

  // Makes the parts that others abandon, and helps with those of slow ones.
  void wait_for_others() {
    std::vector<int64_t> missing;
    for (int64_t part = 0; part < step_.parts; ++part)
      if (!exists(part)) missing.push_back(part);
    for (auto pause = kPartPoll; !missing.empty(); pause = std::min(2 * pause, kLongestPartPoll)) {
      give_signs();
      for (size_t i = 0; i < std::min(missing.size(), kMostWatched); ++i) make_or_help(missing[i]);
      const size_t before = missing.size();
      std::erase_if(missing, [this](int64_t part) { return exists(part); });
      progress_.advance(int64_t(before - missing.size()) *
                        (step_.units == 0 ? 1 : step_.units / step_.parts));
      if (missing.size() < before) pause = kPartPoll;
      if (!missing.empty()) std::this_thread::sleep_for(pause);
    }
    watches_.clear();
  }

  void make_or_help(int64_t part) {
    if (exists(part)) return;
    const fs::path lock = lock_of(part), helpers_lock = lock.string() + "-help";
    if (auto claim = claim_of(lock, part)) return make(part, *claim);
    const auto holder = watches_.find(lock);
    if (holder == watches_.end() || !is_slow(holder->second)) return;
    auto claim = claim_of(helpers_lock, part);
    if (!claim || exists(part)) return;
    log::info("{}: its process is slow or silent; this one makes it, too", file_of(part).string());
    make(part, *claim);
  }

  // The claim, or nothing while another process has it, which is watched then.
  std::optional<Claim> claim_of(const fs::path& lock, int64_t part) {
    const auto found = watches_.find(lock);
    HolderWatch* watch = found == watches_.end() ? nullptr : &found->second;
    if (watch != nullptr) watch->look();
    auto claim = Claim::try_take(lock, shared_.shared, watch);
    if (claim)
      watches_.erase(lock);
    else
      watches_.try_emplace(lock, lock, file_of(part), shared_.shared);
    return claim;
  }

  bool is_slow(const HolderWatch& holder) const {
    const double least = shared_.help_after_seconds;
    if (least <= 0) return false;
    const double longest =
        slowest_seconds_ > 0 ? std::max(least, 2 * slowest_seconds_) : kUnknownPace * least;
    return holder.held_seconds() > longest || holder.silent_seconds() > shared_.shared.lease_seconds;
  }

  // What cannot be used is made here.
  void take(int64_t part) {
    give_signs();
    if (const auto made = read_part(file_of(part))) {
      try {
        return take_part(step_, part, *made, watch_);
      } catch (const DamagedPart&) {
        log::warning("{} is of another version; it is made again", file_of(part).string());
      }
    }
    take_part(step_, part, make_part(step_, part), watch_);
  }

  const ListingStep& step_;
  ListingWatch& watch_;
  const SharedListing& shared_;
  SlowProgress progress_;
  std::string prefix_;
  std::mutex mutex_;
  double slowest_seconds_ = 0;                    // to make a part
  std::map<fs::path, HolderWatch> watches_ = {};  // of the claims of others, by their files
};

}  // namespace

void run_step(const ListingStep& step, ListingWatch& watch) {
  if (step.parts == 0) return;
  if (watch.shared != nullptr)
    SharedStep(step, watch).run();
  else
    run_alone(step, watch);
}

void delete_parts(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) return;
  const std::string part = "[a-z0-9]+-[0-9a-f]{16}-[0-9]{6,}";
  delete_tree(folder, all_but({part + R"(\.part)", R"(\.lock-)" + part + "(-help)?"}));
}

}  // namespace pixart::data
