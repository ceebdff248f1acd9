// Reads the samples of the next steps while the current one is computed. Its batches depend only on the order
// and the plan, not on the number of threads or the depth; its state is the next step.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/prefetch.h"
#include "pixart/base/rule.h"
#include "pixart/data/batch.h"
#include "pixart/data/order.h"

namespace pixart::data {

// How samples are read ahead of the step that needs them.
struct LoaderConfig {
  int64_t threads = 2, depth = 4;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("threads", s.threads, "Threads that read samples; 0: the training thread reads them itself.",
      in_range(0, 256).free());
    v("depth", s.depth, "Number of micro-batches that are ready or being read.", in_range(1, 4096).free());
  }
};

// How long the training waited for data, and how long each source took.
struct DataWait {
  double seconds = 0;
  std::vector<double> read_seconds;  // for each part of the mix, summed over the threads
};

class Loader {
 public:
  using Read = std::function<Batch(const data::MicroBatch&)>;
  using Prepare = std::function<void(Batch&)>;

  // `read` is called from several threads and throws UserError if the run cannot go on.
  Loader(std::shared_ptr<const data::SampleOrder> order, data::BatchPlan plan, LoaderConfig options,
         Read read, std::vector<std::string> part_names = {});
  ~Loader();

  // Sets the function that completes each batch after it was read, in the same threads. For the next start().
  void prepare_with(Prepare prepare) { prepare_ = std::move(prepare); }

  void stop() { prefetch_.reset(); }  // reading ahead; start() begins again
  void start(int64_t step);           // next() then returns the first batch of this step
  std::optional<Batch> next();        // of the current step; empty at its end, then of the next step
  int64_t num_samples_per_step() const { return plan_.batch_size; }
  int64_t epoch_size() const { return order_->epoch_size(); }
  DataWait take_wait();  // since the last call
  const std::vector<std::string>& part_names() const { return part_names_; }

 private:
  struct Job {
    std::optional<data::MicroBatch> batch;  // empty: the step ends here
  };
  std::optional<Job> next_job();
  std::optional<Batch> read(const Job& job) const;

  std::shared_ptr<const data::SampleOrder> order_;
  data::BatchPlan plan_;
  LoaderConfig options_;
  Read read_;
  Prepare prepare_ = [](Batch&) {};
  std::vector<std::string> part_names_;
  int64_t planned_step_ = 0;               // this and the next two belong to the thread that asks for a job
  std::vector<data::MicroBatch> planned_;  // of planned_step_, reversed
  bool is_planned_ = false;
  DataWait wait_;
  double waited_before_ = 0;
  std::unique_ptr<Prefetch<Job, std::optional<Batch>>> prefetch_;
};

}  // namespace pixart::data
