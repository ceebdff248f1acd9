#include "gradient_buckets.h"

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <numeric>

#include "pixart/base/error.h"
#include "pixart/optim/adamw.h"

namespace pixart::train {

SideQueue::SideQueue(at::Device device) : device_(device) {
  if (device_.is_cpu())
    thread_ = std::thread([this] { run(); });
  else
    stream_ = c10::impl::VirtualGuardImpl(device_.type()).getStreamFromGlobalPool(device_);
}

SideQueue::~SideQueue() {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void SideQueue::push(std::function<void()> work) {
  if (stream_) {
    const c10::impl::VirtualGuardImpl streams(device_.type());
    c10::Event before(device_.type());
    before.record(streams.getStream(device_));
    before.block(*stream_);
    const c10::StreamGuard guard(*stream_);
    return work();
  }
  {
    const std::scoped_lock lock(mutex_);
    work_.push_back(std::move(work));
  }
  changed_.notify_all();
}

void SideQueue::wait() {
  if (stream_) {
    const c10::impl::VirtualGuardImpl streams(device_.type());
    c10::Event after(device_.type());
    after.record(*stream_);
    return after.block(streams.getStream(device_));
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return done_ == work_.size(); });
  work_.clear();
  done_ = 0;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void SideQueue::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopped_ || done_ < work_.size(); });
    if (stopped_) return;
    const auto work = std::move(work_[done_]);
    lock.unlock();
    std::exception_ptr error;
    try {
      work();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && !error_) error_ = error;
    ++done_;
    changed_.notify_all();
  }
}

GradientBuckets::GradientBuckets(const optim::FlatParameters& parameters, distributed::Communicator& ranks,
                                 int64_t bucket_bytes)
    : parameters_(parameters),
      ranks_(ranks),
      bucket_of_(parameters.num_parameters()),
      queue_(parameters.values().device()) {
  std::vector<size_t> order(bucket_of_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return parameters.offset(a) > parameters.offset(b); });
  int64_t end = parameters.size();
  size_t members = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    bucket_of_[order[i]] = buckets_.size();
    ++members;
    const int64_t begin = parameters.offset(order[i]);
    const auto bytes = (end - begin) * int64_t(parameters.gradients().element_size());
    if (bytes < bucket_bytes && i + 1 < order.size()) continue;
    buckets_.push_back({.gradients = parameters.gradients().narrow(0, begin, end - begin),
                        .num_parameters = std::exchange(members, 0)});
    end = begin;
  }
  make_squares();
  parameters_.on_gradient([this](size_t parameter) { complete(bucket_of_[parameter]); });
}

GradientBuckets::~GradientBuckets() { parameters_.on_gradient({}); }

void GradientBuckets::arm(int64_t step) {
  phase_ = fmt::format("step {}: gradients", step);
  armed_ = true;
  started_ = 0;
  for (auto& bucket : buckets_) bucket.missing = bucket.num_parameters;
}

void GradientBuckets::complete(size_t bucket) {
  if (!armed_) return;
  PIXART_CHECK(buckets_[bucket].missing > 0, "a gradient that is added to after it was complete");
  --buckets_[bucket].missing;
  start_ready(false);
}

void GradientBuckets::start_ready(bool all) {
  for (; started_ < buckets_.size() && (all || buckets_[started_].missing == 0); ++started_) {
    queue_.push([this, b = started_] { sum(buckets_[b]); });
  }
}

void GradientBuckets::sum(Bucket& bucket) {
  ranks_.all_reduce_sum(bucket.gradients, phase_);
  if (bucket.squares.defined()) optim::tile_squares(bucket.gradients, bucket.squares);
}

void GradientBuckets::make_squares() {
  const at::Tensor gradients = parameters_.gradients();
  if (!optim::kernels_usable(gradients.device())) return;
  int64_t tiles = 0;
  for (const auto& bucket : buckets_) tiles += optim::num_tile_squares(bucket.gradients.numel());
  squares_ = at::empty({tiles}, gradients.options().dtype(at::kDouble));
  int64_t begin = 0;
  for (auto& bucket : buckets_) {
    bucket.squares = squares_.narrow(0, begin, optim::num_tile_squares(bucket.gradients.numel()));
    begin += bucket.squares.numel();
  }
}

void GradientBuckets::finish(int64_t step) {
  if (!armed_) arm(step);  // this rank had no samples
  start_ready(true);
  queue_.wait();
  armed_ = false;
}

}  // namespace pixart::train
