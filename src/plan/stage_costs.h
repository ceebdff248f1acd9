// The costs of a stage, computed from the shapes of its model. Reads only existing config.json files.
#pragma once
#include <string>
#include <vector>

#include "encoding_costs.h"
#include "pixart/plan/flops.h"
#include "pixart/plan/plan.h"

namespace pixart::plan {

struct StageCosts {
  bool is_autoencoder = false;
  run::Precision precision = run::Precision::kFloat32;
  bool bfloat16() const { return precision == run::Precision::kBFloat16; }
  int64_t recompute_every = 0;
  int64_t parameters = 0, trained = 0;  // without adapters; with lora, of the adapters
  int64_t lora_rank = 0, largest = 0;   // largest trained parameter
  double product_parameters = 0;        // those that matrix products copy to bfloat16 and keep
  double optimizer_numbers = 0;
  double buffer_bytes = 0;
  double metrics_bytes = 0;  // of the networks that look at drawn images
  EncodingCosts encoding;
  Flops flops;
  models::TransformerWork work;  // of a transformer
  AutoencoderCost autoencoder;   // of an autoencoder, with `vae` and `resolution`
  double emas = 1;               // of the weights that are kept
  models::VaeConfig vae;
  int64_t resolution = 0;
};

// Adds a sentence to `assumptions` for each file or number that is missing.
StageCosts stage_costs(const run::RunConfig& config, const run::StageConfig& stage,
                       const PlanOptions& options, std::vector<std::string>& assumptions);

struct RankLayout {
  int64_t micro_batch = 1, ranks = 1;
  bool shard = false;
  bool is_cpu = false;
  double reserve = 0;
};
MemoryParts memory_of(const StageCosts& costs, const RankLayout& layout);

}  // namespace pixart::plan
