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
                                 int64_t bucket_bytes, std::vector<std::pair<int64_t, int64_t>> shares)
    : parameters_(parameters),
      ranks_(ranks),
      shares_(std::move(shares)),
      bucket_of_(parameters.num_parameters()),
      queue_(parameters.values().device()) {
  make_buckets(bucket_bytes);
  make_squares();
  parameters_.on_gradient([this](size_t parameter) { complete(bucket_of_[parameter]); });
}

int GradientBuckets::owner_of(int64_t offset) const {
  for (size_t rank = 0; rank < shares_.size(); ++rank)
    if (offset >= shares_[rank].first && offset < shares_[rank].second) return int(rank);
  return 0;
}

void GradientBuckets::make_buckets(int64_t bucket_bytes) {
  std::vector<size_t> order(bucket_of_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return parameters_.offset(a) > parameters_.offset(b); });
  int64_t end = parameters_.size();
  Bucket bucket;
  for (size_t i = 0; i < order.size(); ++i) {
    bucket.parameters.push_back(order[i]);
    const int64_t begin = parameters_.offset(order[i]);
    const auto bytes = (end - begin) * int64_t(parameters_.gradients().element_size());
    const bool is_last = i + 1 == order.size() ||
                         parameters_.decays(order[i]) != parameters_.decays(order[i + 1]) ||
                         owner_of(begin) != owner_of(parameters_.offset(order[i + 1]));
    if (bytes < bucket_bytes && !is_last) continue;
    bucket.gradients = parameters_.gradients().narrow(0, begin, end - begin);
    bucket.owner = owner_of(begin);
    buckets_.push_back(std::exchange(bucket, {}));
    end = begin;
  }
  const auto first_of = [](const Bucket& b) {
    return *std::min_element(b.parameters.begin(), b.parameters.end());
  };
  std::stable_sort(buckets_.begin(), buckets_.end(),
                   [&](const Bucket& a, const Bucket& b) { return first_of(a) > first_of(b); });
  for (size_t b = 0; b < buckets_.size(); ++b)
    for (const size_t parameter : buckets_[b].parameters) bucket_of_[parameter] = b;
}

GradientBuckets::~GradientBuckets() { parameters_.on_gradient({}); }

void GradientBuckets::arm(int64_t step) {
  phase_ = fmt::format("step {}: gradients", step);
  armed_ = true;
  parameters_.begin_last_pass();
  started_ = 0;
  for (auto& bucket : buckets_) bucket.missing = bucket.parameters.size();
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
  if (!bucket.squares.defined()) return ranks_.all_reduce_sum(bucket.gradients, phase_);
  if (shares_.size() <= 1)
    ranks_.all_reduce_sum(bucket.gradients, phase_);
  else
    ranks_.reduce_sum(bucket.gradients, bucket.owner, phase_);
  if (shares_.size() <= 1 || bucket.owner == ranks_.rank())
    optim::tile_squares(bucket.gradients, bucket.squares);
  else
    bucket.squares.zero_();
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
  if (squares_.defined() && shares_.size() > 1) ranks_.all_reduce_sum(squares_, phase_);  // others are 0
}

}  // namespace pixart::train
