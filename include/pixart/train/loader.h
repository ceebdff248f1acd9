// Reads the samples of coming steps while the present one is computed. What it delivers is a function of the
// order and the plan alone, whatever the number of threads and the depth; its state is the next step.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/prefetch.h"
#include "pixart/base/rule.h"
#include "pixart/data/order.h"
#include "pixart/train/batch.h"

namespace pixart::train {

// Reading samples ahead of the step that needs them.
struct LoaderConfig {
  int64_t threads = 2, depth = 4;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("threads", s.threads, "Threads that read samples; 0: the training thread itself.",
      not_negative().free());
    v("depth", s.depth, "Micro-batches that are ready or in work.", positive().free());
  }
};

// How long the training waited for data, and who was slow.
struct DataWait {
  double seconds = 0;
  std::vector<double> read_seconds;  // by part of the mix, over all threads
};

class Loader {
 public:
  using Read = std::function<Batch(const data::MicroBatch&)>;

  // `read` is called from several threads and throws UserError where the run cannot go on.
  Loader(std::shared_ptr<const data::SampleOrder> order, data::BatchPlan plan, LoaderConfig options,
         Read read, std::vector<std::string> part_names = {});
  ~Loader();

  void start(int64_t step);     // the next batch is the first of this step
  std::optional<Batch> next();  // of the present step; nothing at its end, then comes the step after it
  int64_t num_samples_per_step() const { return plan_.batch_size; }
  int64_t epoch_size() const { return order_->epoch_size(); }
  DataWait take_wait();  // since it was last asked
  const std::vector<std::string>& part_names() const { return part_names_; }

 private:
  struct Job {
    std::optional<data::MicroBatch> batch;  // nothing: the step ends here
  };
  std::optional<Job> next_job();

  std::shared_ptr<const data::SampleOrder> order_;
  data::BatchPlan plan_;
  LoaderConfig options_;
  Read read_;
  std::vector<std::string> part_names_;
  int64_t planned_step_ = 0;               // these two belong to the thread that asks for a job
  std::vector<data::MicroBatch> planned_;  // of planned_step_, reversed
  bool is_planned_ = false;
  DataWait wait_;
  double waited_before_ = 0;
  std::unique_ptr<Prefetch<Job, std::optional<Batch>>> prefetch_;
};

}  // namespace pixart::train
