// What a stage costs, taken from its model's shapes: nothing is read but config.json files that exist.
#pragma once
#include <string>
#include <vector>

#include "pixart/train/flops.h"
#include "pixart/train/plan.h"

namespace pixart::train {

struct StageCosts {
  bool is_autoencoder = false, bfloat16 = false;
  int64_t recompute_every = 0;
  int64_t parameters = 0, trained = 0;  // numbers, without adapters; with lora those of the adapters
  int64_t lora_rank = 0, largest = 0;   // largest trained parameter
  double product_parameters = 0;        // that matrix products copy to bfloat16 and keep
  double optimizer_numbers = 0;
  double buffer_bytes = 0;
  Flops flops;
  models::TransformerWork work;  // of a transformer
  AutoencoderCost autoencoder;   // of an autoencoder, with
  models::VaeConfig vae;
  int64_t resolution = 0;
};

// `assumptions` gets a sentence for each thing that is not there to be looked at.
StageCosts stage_costs(const RunConfig& config, const StageConfig& stage, const PlanOptions& options,
                       std::vector<std::string>& assumptions);

struct RankLayout {
  int64_t micro_batch = 1, ranks = 1;
  bool shard = false;
  bool is_cpu = false;
  double reserve = 0;
};
MemoryParts memory_of(const StageCosts& costs, const RankLayout& layout);

}  // namespace pixart::train
