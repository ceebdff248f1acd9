#include "pixart/run/checkpoint_folder.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <regex>
#include <thread>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"
#include "pixart/formats/manifest.h"
#include "pixart/formats/weights.h"

namespace pixart::run {
namespace fs = std::filesystem;
using formats::FileRecord;
using formats::Manifest;

namespace {

std::string folder_name(int64_t step) { return fmt::format("step-{:08d}", step); }

template <class Fill>
FileRecord write_file(const fs::path& path, Fill fill) {
  OutputFile file(path);
  formats::FileRecorder recorder;
  fill([&](const std::string& tensor, std::string_view bytes) {
    file.write(bytes);
    recorder.add(tensor, bytes);
  });
  file.close();
  return recorder.finish();
}

// The real name of the folder, also for paths like "." and "step-00000100/".
std::string name_of(const fs::path& folder) {
  std::error_code error;
  const fs::path whole = fs::weakly_canonical(folder, error);
  return (error ? folder : whole).filename();
}

// Throws UserError if the checkpoint is not good; its code tells the verdict.
void check(const fs::path& folder, const std::string& only, bool with_hashes,
           std::vector<std::string>* unnamed) {
  const Manifest manifest = formats::read_manifest(folder);
  const std::string name = name_of(folder);
  if (name.starts_with("step-") && name != folder_name(manifest.step))
    throw UserError(fmt::format("manifest.json belongs to step {}", manifest.step));
  formats::check_sizes(folder, manifest, only);
  if (with_hashes) formats::check_hashes(folder, manifest, only);
  if (unnamed != nullptr) *unnamed = formats::unnamed_entries(folder, manifest);
}

Verification judge(const fs::path& folder, const std::string& only, bool with_hashes) {
  Verification result;
  try {
    check(folder, only, with_hashes, &result.unnamed);
  } catch (const UserError& error) {
    result.verdict = error.code() == ExitCode::kBadInput ? Verdict::kDamaged : Verdict::kUnreadable;
    result.text = error.what();
  }
  return result;
}

bool says_another_step(const Checkpoint& checkpoint) {
  try {
    return formats::read_manifest(checkpoint.folder).step != checkpoint.step;
  } catch (const UserError&) {  // whoever verifies it says why
    return false;
  }
}

[[noreturn]] void cannot_list(const fs::path& folder, const std::error_code& error) {
  check_machine(folder, error.value());
  throw UserError(fmt::format("cannot list {}: {}. Make it readable and start the same command again.",
                              folder.string(), error.message()),
                  ExitCode::kStorage);
}

}  // namespace

std::vector<Checkpoint> list_checkpoints(const fs::path& stage_folder) {
  static const std::regex pattern("^step-([0-9]{8})$");
  std::vector<Checkpoint> result;
  std::error_code error;
  fs::directory_iterator at(stage_folder, error);
  if (error == std::errc::no_such_file_or_directory) return result;
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    std::smatch match;
    const std::string name = at->path().filename().string();
    if (!std::regex_match(name, match, pattern)) continue;
    const auto type = at->symlink_status(error).type();
    if (error) break;
    if (type == fs::file_type::directory || type == fs::file_type::symlink)
      result.push_back({at->path(), std::stoll(match[1])});
  }
  if (error) cannot_list(stage_folder, error);
  std::sort(result.begin(), result.end(),
            [](const Checkpoint& a, const Checkpoint& b) { return a.step < b.step; });
  return result;
}

std::optional<Checkpoint> newest_named_checkpoint(const fs::path& stage_folder) {
  auto all = list_checkpoints(stage_folder);
  while (!all.empty() && says_another_step(all.back())) all.pop_back();
  return all.empty() ? std::nullopt : std::optional(all.back());
}

Verification verify_checkpoint(const fs::path& folder, const std::string& only) {
  return judge(folder, only, true);
}

namespace {

CheckpointSearch search_checkpoints(const fs::path& stage_folder,
                                    const std::function<Verification(const fs::path&)>& verify) {
  const auto all = list_checkpoints(stage_folder);
  CheckpointSearch search;
  for (auto candidate = all.rbegin(); candidate != all.rend(); ++candidate) {
    auto found = verify(candidate->folder);
    if (found.is_good()) {
      search.newest = *candidate;
      search.unnamed = std::move(found.unnamed);
      return search;
    }
    if (found.verdict == Verdict::kUnreadable)
      throw UserError(
          fmt::format(
              "checkpoint {} cannot be read, which does not mean that it is damaged: {}. It stays as it is, "
              "and no older one is used instead. Make it readable and start the same command again; if that "
              "is not possible, move it to another folder.",
              candidate->folder.string(), found.text),
          ExitCode::kStorage);
    log::warning("checkpoint {} is not used: {}. Falling back to the one before it.",
                 candidate->folder.string(), found.text);
    search.damaged.push_back(candidate->folder.filename().string() + ": " + found.text);
  }
  return search;
}

}  // namespace

CheckpointSearch find_checkpoint(const fs::path& stage_folder, const std::string& only) {
  return search_checkpoints(stage_folder,
                            [&](const fs::path& folder) { return verify_checkpoint(folder, only); });
}

CheckpointSearch find_unread_checkpoint(const fs::path& stage_folder) {
  return search_checkpoints(stage_folder, [](const fs::path& folder) { return judge(folder, "", false); });
}

std::optional<Checkpoint> newest_good_checkpoint(const fs::path& stage_folder, const std::string& only) {
  return find_checkpoint(stage_folder, only).newest;
}

fs::path set_aside(const fs::path& folder, const std::string& prefix) {
  std::error_code error;
  fs::path target;
  int number = 0;
  do {
    target = folder.parent_path() / fmt::format(".{}-{}-{}", prefix, folder.filename().string(), ++number);
  } while (fs::exists(fs::symlink_status(target, error)));
  fs::rename(folder, target, error);
  if (error)
    throw UserError(fmt::format("cannot rename {} to {}: {}.", folder.string(), target.filename().string(),
                                error.message()),
                    ExitCode::kStorage);
  sync_path(folder.parent_path());
  return target;
}

namespace {

// Writes the files of `content` into `folder`; the caller makes them durable.
Manifest write_files(const fs::path& folder, const CheckpointContent& content) {
  Manifest manifest{.step = content.step};
  for (const auto& file : content.files) {
    const auto weights = formats::weights_of(file.tensors, content.metadata);
    const std::string name = file.name + ".safetensors";
    manifest.files[name] =
        write_file(folder / name, [&](const auto& sink) { formats::stream_safetensors(weights, sink); });
  }
  return manifest;
}

void write_manifest(const fs::path& folder, const Manifest& manifest) {
  write_file(folder / "manifest.json", [&](const auto& sink) { sink("", formats::manifest_text(manifest)); });
}

// The name of an unfinished folder, which is never used as a checkpoint.
fs::path share_folder(const fs::path& stage_folder, int64_t step, int rank) {
  return stage_folder / fmt::format(".tmp-share-{:08d}-{}", step, rank);
}
constexpr const char* kFailedShare = "failed.txt";

// All files that a save writes.
ForeignEntries own_files() {
  return all_but({R"([a-z][^/]*\.safetensors)", R"((state|manifest)\.json)", R"(failed\.txt)"});
}

void write_share(const fs::path& stage_folder, const CheckpointContent& content, int rank) {
  const fs::path folder = share_folder(stage_folder, content.step, rank);
  try {
    StagedFolder staged(folder, own_files());
    write_manifest(staged.path(), write_files(staged.path(), content));
    staged.commit();
  } catch (const UserError& error) {
    std::error_code ignored;  // if the disk is full, rank 0 waits until its timeout
    fs::create_directories(folder, ignored);
    std::ofstream(folder / kFailedShare) << error.what();
    throw;
  }
}

// Moves the files of another rank's share into `folder`.
void take_share(const fs::path& share, const fs::path& folder, Manifest& manifest) {
  for (auto& [name, record] : formats::read_manifest(share).files) {
    fs::rename(share / name, folder / name);
    manifest.files[name] = std::move(record);
  }
  delete_folder(share, own_files());
}

void wait_for_share(const fs::path& share, int rank, double deadline) {
  using namespace std::chrono_literals;
  while (!fs::exists(share / "manifest.json")) {
    if (fs::exists(share / kFailedShare))
      throw UserError(fmt::format("rank {}: {}", rank, read_file(share / kFailedShare)), ExitCode::kStorage);
    if (monotonic_seconds() > deadline)
      throw UserError(fmt::format("the share of rank {} is missing. Do all ranks see the run folder?", rank),
                      ExitCode::kStorage);
    std::this_thread::sleep_for(20ms);
  }
}

// Renames a checkpoint that is damaged, or has files that are not the program's, and returns true.
bool keep_aside(const fs::path& folder, const Verification& found) {
  if (found.is_good() && found.unnamed.empty()) return false;
  const std::string why = found.is_good()
                              ? "with files that its manifest does not name: " + name_some(found.unnamed)
                              : found.text;
  const fs::path kept = set_aside(folder, found.is_good() ? "kept" : "bad");
  log::warning("renamed {} ({}) to {}", folder.string(), why, kept.string());
  return true;
}

// The verdict about the folder that is replaced: good if there is none.
Verification what_is_replaced(const fs::path& target) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(target, ignored)) ? verify_checkpoint(target) : Verification{};
}

}  // namespace

void remove_checkpoint_leftovers(const fs::path& stage_folder) {
  const std::string share = R"(\.tmp-share-[0-9]{8,}-[0-9]+)";
  remove_leftovers(
      stage_folder,
      {.folders = {"step-[0-9]{8,}", share}, .in_folders = own_files(), .passing_folders = {share}});
}

void write_checkpoint(const fs::path& stage_folder, const CheckpointContent& content,
                      const CheckpointShares& shares) {
  if (shares.rank > 0)
    return content.files.empty() ? void() : write_share(stage_folder, content, shares.rank);
  create_folders(stage_folder);
  StagedFolder staged(stage_folder / folder_name(content.step), own_files());
  Manifest manifest = write_files(staged.path(), content);
  const double deadline = monotonic_seconds() + shares.timeout_seconds;
  for (int rank = 1; rank < shares.count; ++rank) {
    const fs::path share = share_folder(stage_folder, content.step, rank);
    wait_for_share(share, rank, deadline);
    take_share(share, staged.path(), manifest);
  }
  manifest.files["state.json"] =
      write_file(staged.path() / "state.json", [&](const auto& sink) { sink("", content.state); });
  write_manifest(staged.path(), manifest);
  const fs::path target = stage_folder / folder_name(content.step);
  const auto replaced = what_is_replaced(target);
  if (!content.refusal.empty()) throw UserError(content.refusal, ExitCode::kStorage);
  shares.before_commit();
  keep_aside(target, replaced);
  staged.commit();
}

bool CheckpointKeeping::forever(int64_t step) const {
  return (keep_every > 0 && step > 0 && step % keep_every == 0) || contains(keep_steps, step);
}

namespace {

// Does not hash checkpoints again that this process has saved or verified.
Verification judge_old(const Checkpoint& checkpoint, std::set<int64_t>& known_good) {
  const auto found = judge(checkpoint.folder, "", known_good.count(checkpoint.step) == 0);
  if (found.is_good()) known_good.insert(checkpoint.step);
  return found;
}

// Deletes only good checkpoints that hold nothing else: a damaged one may hold something to rescue, and one
// that cannot be read may be good.
void remove_old(const Checkpoint& old, std::set<int64_t>& known_good) {
  try {
    const auto found = judge_old(old, known_good);
    known_good.erase(old.step);
    if (found.verdict == Verdict::kUnreadable)
      log::warning("an old checkpoint is not deleted: {}", found.text);
    else if (!keep_aside(old.folder, found))
      delete_folder(old.folder, own_files());
  } catch (const UserError& error) {
    log::warning("an old checkpoint is not deleted: {}", error.what());
  }
}

}  // namespace

void prune_checkpoints(const fs::path& stage_folder, const CheckpointKeeping& keeping,
                       std::set<int64_t>& known_good) {
  const auto all = list_checkpoints(stage_folder);
  int64_t good = 0;
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    if (good < keeping.keep_last) {
      const bool is_good = judge_old(*at, known_good).is_good();
      good += is_good;
    } else if (!keeping.forever(at->step)) {
      remove_old(*at, known_good);
    }
  }
}

}  // namespace pixart::run
