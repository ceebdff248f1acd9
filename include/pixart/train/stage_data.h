// The samples of a stage: its sources side by side, and how a micro-batch of them is read.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pixart/data/caption_set.h"
#include "pixart/data/dataset.h"
#include "pixart/data/latent_set.h"
#include "pixart/data/order.h"
#include "pixart/data/quarantine.h"
#include "pixart/train/batch.h"
#include "pixart/train/loader.h"
#include "pixart/train/run_config.h"

namespace pixart::train {

// One source of a stage's mix; its rows are numbered from `first_row` on.
struct StagePart {
  const data::SourceConfig* source = nullptr;
  const data::Dataset* dataset = nullptr;
  double passes = 1;
  int64_t first_row = 0;
  std::shared_ptr<const data::LatentSet> latents = {};    // diffusion stages
  std::shared_ptr<const data::CaptionSet> captions = {};  // text stages
};

using StageParts = std::vector<StagePart>;

// The part that holds a row, and the row within it.
std::pair<size_t, int64_t> part_of(const StageParts& parts, int64_t row);

// The order of the stage's samples. Rows that `ledgers` (one per part) reject are stood in for.
std::shared_ptr<const data::SampleOrder> make_order(const StageParts& parts,
                                                    const std::vector<data::Ledger>& ledgers,
                                                    const StageConfig& stage, uint64_t seed);

// What the order of the samples depends on, by source: for checkpoints.
std::map<std::string, std::string> data_fingerprints(const StageParts& parts,
                                                     const std::vector<data::Ledger>& ledgers);

// Ledger of a part whose features are there; checks the budget and writes the quarantine file.
data::Ledger ledger_of(const StagePart& part, const std::filesystem::path& quarantine_file);

class DamagedFeatures;  // src/train/damaged_features.h

// Reads micro-batches of a diffusion stage out of feature sets. Everything that is drawn (which caption,
// mirrored or not) is a function of seed and global sample id. With `damaged` another row of the same source
// and shape is read where one is damaged, and named in the batch's plan; without, damage is an error.
struct FeatureReader {
  StageParts parts;
  uint64_t seed = 0;
  bool with_labels = false, with_captions = false, with_sizes = false, mirror = false, pinned = false;
  int64_t max_tokens = 0;
  int64_t resolution = 0;  // of the aspect buckets; 0: squares
  std::shared_ptr<DamagedFeatures> damaged = {};
  Batch operator()(const data::MicroBatch& plan) const;
};

// Which of a row's captions is taken at a place: drawn by weight.
size_t draw_caption(const std::vector<data::Caption>& captions, uint64_t seed, int64_t position);

// The pictures of a source as [3, R, R] uint8: in memory where they fit, else decoded as they are asked for.
// A picture that cannot be used goes into quarantine, and another one of the source stands in for it.
class PictureReader {
 public:
  PictureReader(StageParts parts, int64_t resolution, uint64_t seed, std::filesystem::path quarantine_folder);
  ~PictureReader();

  void preload();  // with a progress bar
  int64_t size() const;
  Batch operator()(const data::MicroBatch& plan) const;
  at::Tensor first(int64_t count) const { return range(0, count); }
  at::Tensor range(int64_t first,
                   int64_t count) const;  // [count, 3, R, R] uint8, without regard to the order
  void write_quarantine() const;          // what was found so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

at::Tensor to_unit_range(const at::Tensor& pixels);  // uint8 -> float32 in [-1, 1]

}  // namespace pixart::train
