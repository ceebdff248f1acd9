#include "pixart/data/loader.h"

#include <algorithm>

#include "pixart/base/error.h"

namespace pixart::data {

Loader::Loader(std::shared_ptr<const data::SampleOrder> order, data::BatchPlan plan, LoaderConfig options,
               Read read, std::vector<std::string> part_names)
    : order_(std::move(order)),
      plan_(plan),
      options_(options),
      read_(std::move(read)),
      part_names_(std::move(part_names)) {}
Loader::~Loader() = default;

std::optional<Loader::Job> Loader::next_job() {
  if (!is_planned_) {
    planned_ = data::plan_step(*order_, plan_, planned_step_++);
    std::reverse(planned_.begin(), planned_.end());
    is_planned_ = true;
  }
  if (planned_.empty()) {
    is_planned_ = false;
    return Job{};
  }
  Job job{std::move(planned_.back())};
  planned_.pop_back();
  return job;
}

void Loader::start(int64_t step) {
  prefetch_.reset();
  planned_step_ = step;
  planned_.clear();
  is_planned_ = false;
  waited_before_ = 0;
  prefetch_ = std::make_unique<Prefetch<Job, std::optional<Batch>>>(
      options_.threads, options_.depth, [this] { return next_job(); },
      [this](const Job& job) { return read(job); });
}

std::optional<Batch> Loader::read(const Job& job) const {
  if (!job.batch) return std::nullopt;
  Batch batch = read_(*job.batch);
  prepare_(batch);
  return batch;
}

std::optional<Batch> Loader::next() {
  PIXART_CHECK(prefetch_ != nullptr, "the loader was not started");
  auto result = prefetch_->next();
  PIXART_CHECK(result.has_value(), "there is no last step");
  wait_.seconds += prefetch_->waited_seconds() - waited_before_;
  waited_before_ = prefetch_->waited_seconds();
  if (*result) {
    const auto& seconds = (*result)->read_seconds;
    if (wait_.read_seconds.size() < seconds.size()) wait_.read_seconds.resize(seconds.size());
    for (size_t i = 0; i < seconds.size(); ++i) wait_.read_seconds[i] += seconds[i];
  }
  return std::move(*result);
}

DataWait Loader::take_wait() { return std::exchange(wait_, {}); }

}  // namespace pixart::data
