#include "pixart/train/checkpoint_folder.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <regex>
#include <thread>

#include "checkpoint_manifest.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/formats/weights.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

std::string folder_name(int64_t step) { return fmt::format("step-{:08d}", step); }

template <class Fill>
FileRecord write_file(const fs::path& path, Fill fill) {
  OutputFile file(path);
  FileRecorder recorder;
  fill([&](const std::string& tensor, std::string_view bytes) {
    file.write(bytes);
    recorder.add(tensor, bytes);
  });
  file.close();
  return recorder.finish();
}

// Of a folder of ours: the files are there and have their size.
bool looks_whole(const fs::path& folder) {
  try {
    return wrong_size(folder, read_manifest(folder)).empty();
  } catch (const UserError&) {
    return false;
  }
}

}  // namespace

std::vector<Checkpoint> list_checkpoints(const fs::path& stage_folder) {
  static const std::regex pattern("^step-([0-9]{8})$");
  std::vector<Checkpoint> result;
  if (!fs::is_directory(stage_folder)) return result;
  for (const auto& entry : fs::directory_iterator(stage_folder)) {
    std::smatch match;
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && std::regex_match(name, match, pattern))
      result.push_back({entry.path(), std::stoll(match[1])});
  }
  std::sort(result.begin(), result.end(),
            [](const Checkpoint& a, const Checkpoint& b) { return a.step < b.step; });
  return result;
}

std::string verify_checkpoint(const fs::path& folder) {
  try {
    const Manifest manifest = read_manifest(folder);
    const std::string name = fs::weakly_canonical(folder).filename();
    if (name.starts_with("step-") && name != folder_name(manifest.step))
      return fmt::format("manifest.json is that of step {}", manifest.step);
    const std::string problem = wrong_size(folder, manifest);
    return problem.empty() ? wrong_hash(folder, manifest) : problem;
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::optional<Checkpoint> newest_good_checkpoint(const fs::path& stage_folder) {
  auto all = list_checkpoints(stage_folder);
  for (auto candidate = all.rbegin(); candidate != all.rend(); ++candidate) {
    const std::string problem = verify_checkpoint(candidate->folder);
    if (problem.empty()) return *candidate;
    log::warning("checkpoint {} is not used: {}. Falling back to the one before.", candidate->folder.string(),
                 problem);
  }
  return std::nullopt;
}

namespace {

// Writes the files of `content` into `folder`, without what makes them durable.
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
  write_file(folder / "manifest.json", [&](const auto& sink) { sink("", manifest_text(manifest)); });
}

// A name of something unfinished: nobody takes it for a checkpoint.
fs::path share_folder(const fs::path& stage_folder, int64_t step, int rank) {
  return stage_folder / fmt::format(".tmp-share-{:08d}-{}", step, rank);
}
constexpr const char* kFailedShare = "failed.txt";

void write_share(const fs::path& stage_folder, const CheckpointContent& content, int rank) {
  const fs::path folder = share_folder(stage_folder, content.step, rank);
  try {
    StagedFolder staged(folder);
    write_manifest(staged.path(), write_files(staged.path(), content));
    staged.commit();
  } catch (const UserError& error) {
    std::error_code ignored;  // the disk may be full; then rank 0 waits in vain
    fs::create_directories(folder, ignored);
    std::ofstream(folder / kFailedShare) << error.what();
    throw;
  }
}

// Moves the files of another rank's share into `folder`.
void take_share(const fs::path& share, const fs::path& folder, Manifest& manifest) {
  for (auto& [name, record] : read_manifest(share).files) {
    fs::rename(share / name, folder / name);
    manifest.files[name] = std::move(record);
  }
  delete_folder(share);
}

void wait_for_share(const fs::path& share, int rank, double deadline) {
  using namespace std::chrono_literals;
  while (!fs::exists(share / "manifest.json")) {
    if (fs::exists(share / kFailedShare))
      throw UserError(fmt::format("rank {}: {}", rank, read_file(share / kFailedShare)), ExitCode::kStorage);
    if (monotonic_seconds() > deadline)
      throw UserError(
          fmt::format("the share of rank {} did not come. Do all ranks see the run folder?", rank),
          ExitCode::kStorage);
    std::this_thread::sleep_for(20ms);
  }
}

}  // namespace

void remove_checkpoint_leftovers(const fs::path& stage_folder) {
  const std::string share = R"(\.tmp-share-[0-9]{8,}-[0-9]+)";
  remove_leftovers(stage_folder, {.folders = {"step-[0-9]{8,}", share}, .passing_folders = {share}});
}

void write_checkpoint(const fs::path& stage_folder, const CheckpointContent& content,
                      const CheckpointShares& shares) {
  if (shares.rank > 0)
    return content.files.empty() ? void() : write_share(stage_folder, content, shares.rank);
  create_folders(stage_folder);
  StagedFolder staged(stage_folder / folder_name(content.step));
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
  shares.before_commit();
  staged.commit();
}

bool CheckpointKeeping::forever(int64_t step) const {
  return (every > 0 && step > 0 && step % every == 0) ||
         std::find(steps.begin(), steps.end(), step) != steps.end();
}

void prune_checkpoints(const fs::path& stage_folder, const CheckpointKeeping& keeping,
                       std::set<int64_t>& known_good) {
  const auto all = list_checkpoints(stage_folder);
  int64_t good = 0;
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    if (good < keeping.last) {
      const bool is_good =
          known_good.count(at->step) != 0 ? looks_whole(at->folder) : verify_checkpoint(at->folder).empty();
      if (is_good) known_good.insert(at->step);
      good += is_good;
    } else if (!keeping.forever(at->step)) {
      try {
        delete_folder(at->folder);
      } catch (const UserError& error) {
        log::warning("an old checkpoint stays: {}", error.what());
      }
    }
  }
}

}  // namespace pixart::train
