// The sources of a stage side by side, and the order of their samples.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/data/caption_set.h"
#include "pixart/data/dataset.h"
#include "pixart/data/latent_set.h"
#include "pixart/data/order.h"
#include "pixart/data/quarantine.h"
#include "pixart/data/quarantine_file.h"
#include "pixart/features/image_shapes.h"
#include "pixart/run/run_config.h"

namespace pixart::features {

// One source of a stage's mix; its rows are numbered from `first_row` on. A source that comes at several resolutions is
// a part for each.
struct StagePart {
  const data::SourceConfig* source = nullptr;
  const data::Dataset* dataset = nullptr;
  double passes = 1;
  int64_t first_row = 0;
  std::shared_ptr<const data::LatentSet> latents = {};    // diffusion stages with stored latents
  std::shared_ptr<const data::LatentSet> control = {};    // and with control those of the control images
  std::shared_ptr<const data::LatentSet> teacher = {};    // and where the stage has a teacher, what it sees
  std::shared_ptr<const ImageShapes> shapes = {};         // or the shapes of images that it encodes
  std::shared_ptr<const data::CaptionSet> captions = {};  // text stages with stored features of captions
  std::optional<int64_t> resolution = {};  // that all its images have, of several (stages[].mix[].resolution)
  uint8_t first_bucket = 0;                // the stage's number of the part's first shape
};

using StageParts = std::vector<StagePart>;

// The index of the part that holds a row, and the row within that part.
std::pair<size_t, int64_t> part_of(const StageParts& parts, int64_t row);

// The bucket of a row that is not rejected: the number of its shape among those of the stage (data::TrainingShapes), 0 in
// a stage with one.
uint8_t bucket_of(const StagePart& part, int64_t row);

// Whether the scores of the part's source leave the row in the order.
bool uses_row(const StagePart& part, int64_t row);

// The order of the stage's samples. Rows that `ledgers` (one per part) reject, and `excluded` ones, are replaced
// by others.
std::shared_ptr<const data::SampleOrder> make_order(
    const StageParts& parts, const std::vector<data::Ledger>& ledgers, const run::StageConfig& stage,
    uint64_t seed, std::shared_ptr<const data::ExcludedRows> excluded = nullptr,
    data::OrderVersion version = data::OrderVersion::kListed);

// For each part the factor of its samples' losses, of which the mean over an epoch is then that over the ordinary parts
// plus prior_weight times that over the prior parts (DreamBooth, arXiv 2208.12242, equation 2). Empty: no part is a prior.
std::vector<double> loss_weights(const StageParts& parts, const run::StageConfig& stage);

// A fingerprint of each source, for checkpoints: everything that the order of its samples depends on.
std::map<std::string, std::string> data_fingerprints(const StageParts& parts,
                                                     const std::vector<data::Ledger>& ledgers);

// The hash of the file of scores of each source that has one: "scores of NAME", for checkpoints.
std::map<std::string, std::string> score_fingerprints(const StageParts& parts);

// Whether the source has an earlier part.
bool is_repeated(const StageParts& parts, size_t part);

// The ledger of a part whose features (or shapes) exist. Checks the budget and writes the quarantine file (null: another
// process does, as one file is enough for all ranks).
data::Ledger ledger_of(const StagePart& part, data::QuarantineFile* quarantine_file);
// Appends what the last ledger rejects, but not that of an earlier part of its source, whose file this is.
void append_new(const StageParts& parts, const std::vector<data::Ledger>& ledgers,
                data::QuarantineFile& quarantine_file);

}  // namespace pixart::features
