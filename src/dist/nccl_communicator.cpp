// Compiles everywhere; has not been run yet, for want of a machine with GPUs. What a GPU must show first: the
// sums, the order of streams, and that an abort frees a host that waits for the GPU.
#include "nccl_communicator.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "nccl_library.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/dist/phase.h"

namespace pixart::dist {

namespace {

constexpr double kLookSeconds = 0.1;     // between two looks of the watching thread
constexpr double kAnswerSeconds = 2;     // for the other ranks to say that they live
constexpr double kLastWordSeconds = 10;  // from the abort to the end of a process that does not come back

int type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return NcclLibrary::kFloat32;
    case at::kDouble:
      return NcclLibrary::kFloat64;
    case at::kLong:
      return NcclLibrary::kInt64;
    default:
      PIXART_CHECK(false, "sums over ranks are of float32, float64 or int64, not {}",
                   toString(tensor.scalar_type()));
  }
  return 0;
}

size_t bytes_of(const at::Tensor& tensor) { return size_t(tensor.numel()) * tensor.element_size(); }

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<CpuCommunicator> sockets, const at::Device& device,
                   const CommunicatorOptions& options)
      : nccl_(nccl_library()),
        sockets_(std::move(sockets)),
        device_(device),
        timeout_seconds_(options.timeout_seconds) {
    at::Tensor bytes = at::zeros({int64_t(sizeof(NcclId))}, at::kByte);
    NcclId id{};
    if (rank() == 0) check(nccl_.get_unique_id(&id));
    std::memcpy(bytes.data_ptr(), &id, sizeof id);
    sockets_->broadcast(bytes, 0, "starting NCCL");
    std::memcpy(&id, bytes.data_ptr(), sizeof id);
    host_deadline_ = monotonic_seconds() + options.rendezvous_seconds;
    watcher_ = std::thread([this] { watch(); });
    try {
      const c10::DeviceGuard guard(device_);
      check(nccl_.comm_init_rank(&comm_, world_size(), id, rank()));
    } catch (...) {
      stop_watching();
      throw;
    }
    const std::scoped_lock lock(mutex_);
    host_deadline_.reset();
  }

  ~NcclCommunicator() override {
    stop_watching();
    const bool is_idle = calls_.empty() || calls_.back().done.query();
    if (!aborted_) (void)(is_idle ? nccl_.comm_destroy(comm_) : nccl_.comm_abort(comm_));
  }

  int rank() const override { return sockets_->rank(); }
  int world_size() const override { return sockets_->world_size(); }

  void all_reduce_sum(at::Tensor& tensor, std::string_view phase) override {
    if (tensor.is_cpu()) return sockets_->all_reduce_sum(tensor, phase);
    enqueue(tensor, phase, [&](void* stream) {
      return nccl_.all_reduce(tensor.data_ptr(), tensor.data_ptr(), size_t(tensor.numel()), type_of(tensor),
                              NcclLibrary::kSum, comm_, stream);
    });
  }
  void reduce_scatter(const at::Tensor& input, at::Tensor& output, std::string_view phase) override {
    if (input.is_cpu()) return sockets_->reduce_scatter(input, output, phase);
    check_parts(input, output, world_size());
    check_place(output);
    enqueue(input, phase, [&](void* stream) {
      return nccl_.reduce_scatter(input.data_ptr(), output.data_ptr(), size_t(output.numel()), type_of(input),
                                  NcclLibrary::kSum, comm_, stream);
    });
  }
  void all_gather(const at::Tensor& input, at::Tensor& output, std::string_view phase) override {
    if (input.is_cpu()) return sockets_->all_gather(input, output, phase);
    check_parts(output, input, world_size());
    check_place(output);
    enqueue(input, phase, [&](void* stream) {
      return nccl_.all_gather(input.data_ptr(), output.data_ptr(), bytes_of(input), NcclLibrary::kInt8, comm_,
                              stream);
    });
  }
  void broadcast(at::Tensor& tensor, int root, std::string_view phase) override {
    if (tensor.is_cpu()) return sockets_->broadcast(tensor, root, phase);
    enqueue(tensor, phase, [&](void* stream) {
      return nccl_.broadcast(tensor.data_ptr(), tensor.data_ptr(), bytes_of(tensor), NcclLibrary::kInt8, root,
                             comm_, stream);
    });
  }
  void barrier(std::string_view phase) override { sockets_->barrier(phase); }

 private:
  struct UnderWay {
    c10::Event done;
    std::string phase;
    double since;
  };

  void check(NcclLibrary::Result result) {
    if (result == 0) return;
    const char* more = nccl_.get_last_error(comm_);
    sockets_->mesh().give_up(
        fmt::format("rank {}: NCCL: {}{}{} in \"{}\"", rank(), nccl_.get_error_string(result),
                    more != nullptr && *more != '\0' ? ": " : "", more != nullptr ? more : "",
                    current_phase()),
        rank());
  }

  void check_place(const at::Tensor& tensor) const {
    PIXART_CHECK(tensor.device() == device_ && tensor.is_contiguous(), "a contiguous tensor on {} is needed",
                 device_.str());
  }

  template <class Start>
  void enqueue(const at::Tensor& tensor, std::string_view phase, const Start& start) {
    check_place(tensor);
    enter_phase(phase);
    const c10::DeviceGuard guard(device_);
    const c10::impl::VirtualGuardImpl streams(device_.type());
    const c10::Stream stream = streams.getStream(device_);
    const std::scoped_lock lock(mutex_);
    if (aborted_) {
      told_ = true;
      throw UserError(failure_, ExitCode::kDevice);
    }
    check(start(streams.getStreamNativeHandle(stream)));
    calls_.push_back({c10::Event(device_.type()), std::string(phase), monotonic_seconds()});
    calls_.back().done.record(stream);
  }

  void stop_watching() {
    {
      const std::scoped_lock lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    if (watcher_.joinable()) watcher_.join();
  }

  void watch() {
    std::unique_lock lock(mutex_);
    while (
        !changed_.wait_for(lock, std::chrono::duration<double>(kLookSeconds), [this] { return stopped_; })) {
      while (!calls_.empty() && calls_.front().done.query()) {
        calls_.pop_front();
        // The next one could not begin before this one was done.
        if (!calls_.empty()) calls_.front().since = std::max(calls_.front().since, monotonic_seconds());
      }
      const std::string problem = find_problem();
      if (problem.empty()) continue;
      if (host_deadline_) end_process(problem);  // inside NCCL's start, which cannot be interrupted
      aborted_ = true;
      failure_ = problem;
      lock.unlock();
      tell_others(problem);
      (void)nccl_.comm_abort(comm_);
      lock.lock();
      failure_ = sockets_->mesh().look_for_failure().value_or(problem);
      if (!changed_.wait_for(lock, std::chrono::duration<double>(kLastWordSeconds),
                             [this] { return stopped_ || told_; }))
        end_process(failure_);
      return;
    }
  }

  // "" while all is well.
  std::string find_problem() {
    const double now = monotonic_seconds();
    if (host_deadline_ && now > *host_deadline_) return fmt::format("rank {}: NCCL does not start", rank());
    if (calls_.empty() && !host_deadline_) return "";
    if (const auto failure = sockets_->mesh().look_for_failure())
      return calls_.empty()
                 ? *failure
                 : fmt::format("{}, while rank {} waited in \"{}\"", *failure, rank(), calls_.front().phase);
    if (calls_.empty()) return "";
    NcclLibrary::Result result = 0;
    if (nccl_.comm_get_async_error(comm_, &result) == 0 && result != 0 && result != kInProgress)
      return fmt::format("rank {}: NCCL: {} in \"{}\"", rank(), nccl_.get_error_string(result),
                         calls_.front().phase);
    if (now - calls_.front().since > timeout_seconds_)
      return fmt::format("\"{}\" is not done after {:.4g} s on rank {}", calls_.front().phase,
                         timeout_seconds_, rank());
    return "";
  }

  // Each rank that lives answers; those that do not are the lost ones.
  void tell_others(const std::string& problem) {
    Mesh& mesh = sockets_->mesh();
    mesh.announce(problem + fmt::format(" (rank {} is in \"{}\")", rank(), current_phase()), -1);
    const double deadline = monotonic_seconds() + kAnswerSeconds;
    auto silent = mesh.silent_ranks();
    while (!silent.empty() && monotonic_seconds() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      silent = mesh.silent_ranks();
    }
    if (silent.empty()) return;
    accuse_rank(silent.front());
    std::vector<std::string> names;
    for (int r : silent) names.push_back(std::to_string(r));
    log::error("{}. No answer from rank {}.", problem, name_some(names));
  }

  [[noreturn]] void end_process(const std::string& problem) {
    log::error("{}. This process cannot be interrupted otherwise and ends now.", problem);
    std::_Exit(int(ExitCode::kDevice));
  }

  static constexpr NcclLibrary::Result kInProgress = 7;

  const NcclLibrary& nccl_;
  const std::unique_ptr<CpuCommunicator> sockets_;
  const at::Device device_;
  const double timeout_seconds_;
  NcclLibrary::Comm comm_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<UnderWay> calls_;
  std::optional<double> host_deadline_;
  bool stopped_ = false, aborted_ = false, told_ = false;
  std::string failure_;
  std::thread watcher_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<CpuCommunicator> sockets,
                                                     const at::Device& device,
                                                     const CommunicatorOptions& options) {
  return std::make_unique<NcclCommunicator>(std::move(sockets), device, options);
}

}  // namespace pixart::dist
