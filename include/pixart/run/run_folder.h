// The run folder: the paths of everything that a run writes.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/config/config.h"
#include "pixart/run/run_config.h"

namespace pixart::run {

// run.yaml, events.jsonl, logs/rank-N.log, checkpoints/<stage>/step-*, samples/<stage>/step-*.png,
// metrics/<stage>/step-*.json (cards of scores), metric_features/ (of their reference and prompts), features/,
// prompts/ (their features), lora/<stage>/, quarantine/, image_checksums/<stage>/, autoencoder/, text_encoder/,
// bad_steps/, excluded/<stage>.jsonl.
struct RunFolder {
  std::filesystem::path root;
  std::filesystem::path config() const { return root / "run.yaml"; }
  std::filesystem::path events() const { return root / "events.jsonl"; }
  std::filesystem::path log(int rank) const {
    return root / "logs" / ("rank-" + std::to_string(rank) + ".log");
  }
  std::filesystem::path telemetry() const { return root / "telemetry.jsonl"; }
  std::filesystem::path tensorboard() const { return root / "tensorboard"; }
  std::filesystem::path bad_steps() const { return root / "bad_steps"; }
  std::filesystem::path excluded(const std::string& stage) const {
    return root / "excluded" / (stage + ".jsonl");
  }
  std::filesystem::path checkpoints(const std::string& stage) const { return root / "checkpoints" / stage; }
  std::filesystem::path samples(const std::string& stage) const { return root / "samples" / stage; }
  std::filesystem::path metrics(const std::string& stage) const { return root / "metrics" / stage; }
  std::filesystem::path metric_features() const { return root / "metric_features"; }
  std::filesystem::path lora(const std::string& stage) const { return root / "lora" / stage; }
  std::filesystem::path features() const { return root / "features"; }
  std::filesystem::path power_ema(const std::string& stage) const { return root / "power_ema" / stage; }
  std::filesystem::path prompts() const { return root / "prompts"; }
  std::filesystem::path quarantine(const std::string& source) const {
    return root / "quarantine" / (source + ".jsonl");
  }
  std::filesystem::path image_checksums(const std::string& stage) const {
    return root / "image_checksums" / stage;
  }
  std::filesystem::path autoencoder() const { return root / "autoencoder"; }
  std::filesystem::path text_encoder() const { return root / "text_encoder"; }
};

// Whether training of the stage has begun: it has a checkpoint, or lines in events.jsonl.
bool has_begun(const RunFolder& folder, const std::string& stage);

// The version of the order of samples with which the run goes on: that of `config`; if it names none, that of the run
// in the folder, or the newest if there is none. A run.yaml without one is of a program that had only the first.
int64_t sample_order_of(const RunFolder& folder, const RunConfig& config);

// The keys that stages which have begun use, and that are not what they were.
struct RunChanges {
  std::vector<config::Change> moved;    // they name another place now, and must have the same content there
  std::vector<config::Change> refused;  // each is a problem
};

// Checks that `config` may continue the run in the folder, if there is one. A changed key is a problem if a
// stage that has begun uses it, unless it is free, or needs permission and is in `allowed`; so are fewer steps than a
// stage has made. Adds all problems. Changes nothing. Throws UserError if `allowed` has an unknown key, or the
// run.yaml of the folder is not the program's.
RunChanges check_run_folder(const RunFolder& folder, const RunConfig& config,
                            const std::vector<std::string>& allowed, Problems& problems);

// Throws UserError, with all of them, if the folder has files that training `stages` would replace or add to, and that
// no run wrote there: what only training writes where no run.yaml is, and an autoencoder that no stage has begun to train.
void require_no_foreign_results(const RunFolder& folder, const std::vector<StageConfig>& stages);

// Makes the folder, removes the leftovers of its former owners, and writes the resolved run.yaml, which always names
// the order of samples.
void open_run_folder(const RunFolder& folder, const RunConfig& config);

}  // namespace pixart::run
