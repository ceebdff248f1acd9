// A loader that names the samples of each micro-batch and reads nothing, or what a test lets it read.
#pragma once
#include <utility>

#include "pixart/data/loader.h"

namespace pixart::testing {

inline data::Batch name_samples(const data::MicroBatch& plan) { return {.plan = plan}; }

inline data::Loader plain_loader(int64_t rows, const data::BatchPlan& plan,
                                 data::Loader::Read read = name_samples) {
  auto order = std::make_shared<data::SampleOrder>(0, std::vector<data::OrderPart>{{.rows = rows}});
  return {std::move(order), plan, {.threads = 0}, std::move(read)};
}

inline data::Loader plain_loader(int64_t rows, int64_t batch_size, int64_t micro_batch_size = 0) {
  return plain_loader(rows, {.batch_size = batch_size, .micro_batch_size = micro_batch_size});
}

}  // namespace pixart::testing
