// What the metrics of a stage cost: drawing their images, and the networks that look at them.
#pragma once
#include <string>
#include <vector>

#include "pixart/plan/plan.h"
#include "stage_costs.h"

namespace pixart::plan {

struct MetricsCosts {
  double draw_flops = 0;     // of an image, in the precision of the stage
  double float32_flops = 0;  // of an image: decoding it, and the networks
  double bytes = 0;          // of the networks' weights, on each GPU
};

// `costs`: of the stage, without its metrics. Adds a sentence to `assumptions` for each missing file.
MetricsCosts metrics_costs(const run::StageConfig& stage, const StageCosts& costs,
                           std::vector<std::string>& assumptions);

// `flops_per_second`: what one GPU reaches in training.
MetricsPlan metrics_plan(const run::StageConfig& stage, const MetricsCosts& costs, double flops_per_second,
                         const PlanOptions& options);

}  // namespace pixart::plan
