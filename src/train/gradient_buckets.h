// Sums gradients over ranks while backward runs.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "pixart/distributed/communicator.h"
#include "pixart/optim/flat_parameters.h"

namespace pixart::train {

// Runs functions one after the other while the caller goes on: on the CPU in a thread, on a GPU in its own
// stream, after the work that the calling thread has started there. The GPU form compiles but has not been
// run yet.
class SideQueue {
 public:
  explicit SideQueue(at::Device device);
  ~SideQueue();
  void push(std::function<void()> work);
  void wait();  // for all functions; throws their first error

 private:
  void run();
  const at::Device device_;
  std::optional<c10::Stream> stream_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> work_;
  size_t done_ = 0;
  bool stopped_ = false;
  std::exception_ptr error_;
};

// Ranges of the flat gradients. A range is summed over the ranks as soon as its gradients and the ranges before it are
// complete. Backward completes the last layers first, so the ranges are in the order of the first layer in each, the last one
// first; those of parameters without decay, which have small tensors of all layers, are among the last. The order is the same
// on all ranks. A range is in one rank's share: where our kernels run, only this rank gets the sum.
class GradientBuckets {
 public:
  // `parameters` must live as long as this.
  GradientBuckets(const optim::FlatParameters& parameters, distributed::Communicator& ranks,
                  int64_t bucket_bytes, std::vector<std::pair<int64_t, int64_t>> shares = {});
  ~GradientBuckets();

  void arm(int64_t step);     // the next backward pass is the last of the step
  void finish(int64_t step);  // sums the remaining ranges and waits for all
  // Of the summed gradients, after finish(): optim::tile_squares() of each range; undefined where our kernels do not run.
  at::Tensor tile_squares() const { return squares_; }

 private:
  struct Bucket {
    at::Tensor gradients;  // a view
    std::vector<size_t> parameters = {};
    int owner = 0;            // the rank in whose share it is
    size_t missing = 0;       // parameters whose gradient is not complete
    at::Tensor squares = {};  // a view of all ranges' sums
  };
  void complete(size_t bucket);  // one more of its parameters is complete
  void start_ready(bool all);
  void sum(Bucket& bucket);
  void make_buckets(int64_t bucket_bytes);
  void make_squares();
  int owner_of(int64_t offset) const;

  const optim::FlatParameters& parameters_;
  distributed::Communicator& ranks_;
  std::vector<std::pair<int64_t, int64_t>> shares_;
  std::vector<size_t> bucket_of_;  // by parameter
  std::vector<Bucket> buckets_;
  size_t started_ = 0;
  bool armed_ = false;
  std::string phase_;
  at::Tensor squares_;
  SideQueue queue_;
};

}  // namespace pixart::train
