// Tests run this with their own device and NCCL. It has not been run with GPUs yet, because no machine was
// available. To be tested first on GPUs: the sums, the order of streams, and that an abort frees a host that
// waits for the GPU.
#include "nccl_communicator.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstring>
#include <memory>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/distributed/phase.h"

namespace pixart::distributed {

namespace {

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
                   const CommunicatorOptions& options, const NcclLibrary& library, WatchLimits limits)
      : nccl_(library),
        sockets_(std::move(sockets)),
        device_(device),
        limits_(limits),
        watch_(sockets_->rank(), limits, what_is_watched()) {
    sockets_->mesh().answer_with([this] { return watch_.progress(); });
    at::Tensor bytes = at::zeros({int64_t(sizeof(NcclId))}, at::kByte);
    NcclId id{};
    if (rank() == 0) check(nccl_.get_unique_id(&id));
    std::memcpy(bytes.data_ptr(), &id, sizeof id);
    sockets_->broadcast(bytes, 0, "starting NCCL");
    std::memcpy(&id, bytes.data_ptr(), sizeof id);
    watch_.call_or_end("starting NCCL", options.rendezvous_seconds, [&] {
      const c10::DeviceGuard guard(device_);
      check(nccl_.comm_init_rank(&comm_, world_size(), id, rank()));
    });
  }

  ~NcclCommunicator() override {
    const bool is_idle = watch_.stop();
    sockets_->mesh().answer_with({});
    if (watch_.has_failed()) return;  // NCCL was aborted
    const auto end = [this, is_idle] {
      choose_device();
      (void)(is_idle ? nccl_.comm_destroy(comm_) : nccl_.comm_abort(comm_));
    };
    if (!returns_within(limits_.end_seconds, end))
      end_process(fmt::format("rank {}: NCCL does not end", rank()));
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
  void reduce_sum(at::Tensor& tensor, int root, std::string_view phase) override {
    if (tensor.is_cpu()) return sockets_->reduce_sum(tensor, root, phase);
    enqueue(tensor, phase, [&](void* stream) {
      return nccl_.reduce(tensor.data_ptr(), tensor.data_ptr(), size_t(tensor.numel()), type_of(tensor),
                          NcclLibrary::kSum, root, comm_, stream);
    });
  }

 private:
  WatchedLibrary what_is_watched() {
    return {
        .begin = [this] { choose_device(); },
        .error = [this](const std::string& phase) { return error_in(phase); },
        .lost_rank = [this] { return sockets_->mesh().look_for_failure(); },
        .tell_others = [this](const std::string& problem, bool is_own) { tell_others(problem, is_own); },
        .abort =
            [this] {
              choose_device();
              if (comm_ != nullptr) (void)nccl_.comm_abort(comm_);
            },
    };
  }

  // Called in each new thread: otherwise its events and NCCL would create a context on the first GPU. Never
  // throws.
  void choose_device() const { c10::impl::VirtualGuardImpl(device_.type()).uncheckedSetDevice(device_); }

  void check(NcclLibrary::Result result) {
    if (result == 0) return;
    const char* more = nccl_.get_last_error(comm_);
    sockets_->mesh().give_up(
        fmt::format("rank {}: NCCL: {}{}{} in \"{}\"", rank(), nccl_.get_error_string(result),
                    more != nullptr && *more != '\0' ? ": " : "", more != nullptr ? more : "",
                    current_phase()),
        result == kRemoteError ? -1 : rank());
  }

  void check_place(const at::Tensor& tensor) const {
    PIXART_CHECK(tensor.device() == device_ && tensor.is_contiguous(), "expected a contiguous tensor on {}",
                 device_.str());
  }

  template <class Start>
  void enqueue(const at::Tensor& tensor, std::string_view phase, const Start& start) {
    check_place(tensor);
    const c10::DeviceGuard guard(device_);
    const c10::impl::VirtualGuardImpl streams(device_.type());
    const c10::Stream stream = streams.getStream(device_);
    const auto reached = std::make_shared<c10::Event>(device_.type());
    const auto enqueue_call = [&]() -> CallWatch::IsDone {
      enter_phase(phase);
      reached->record(stream);
      check(start(streams.getStreamNativeHandle(stream)));
      const auto done = std::make_shared<c10::Event>(device_.type());
      done->record(stream);
      return [done] { return done->query(); };
    };
    watch_.call(phase, enqueue_call, [reached] { return reached->query(); });
  }

  // The error of NCCL; "" if there is none.
  std::string error_in(const std::string& phase) {
    NcclLibrary::Result result = 0;
    if (nccl_.comm_get_async_error(comm_, &result) != 0 || result == 0 || result == kInProgress) return "";
    return fmt::format("rank {}: NCCL: {} in \"{}\"", rank(), nccl_.get_error_string(result), phase);
  }

  // Each living rank answers; the others are lost.
  void tell_others(const std::string& problem, bool is_own) {
    Mesh& mesh = sockets_->mesh();
    const std::string message = problem + fmt::format(" (rank {} is in \"{}\")", rank(), current_phase());
    if (is_own)
      mesh.announce(message, rank());
    else
      mesh.announce_wait(message);
    const auto silent = mesh.wait_for_answers();
    if (silent.empty()) return;
    std::vector<std::string> names;
    for (int r : silent) names.push_back(std::to_string(r));
    log::error("{}. No answer from rank {}.", problem, name_some(names));
  }

  static constexpr NcclLibrary::Result kRemoteError = 6;  // another rank has ended
  static constexpr NcclLibrary::Result kInProgress = 7;

  const NcclLibrary nccl_;
  const std::unique_ptr<CpuCommunicator> sockets_;
  const at::Device device_;
  const WatchLimits limits_;
  NcclLibrary::Comm comm_ = nullptr;
  CallWatch watch_;  // uses all other members
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<CpuCommunicator> sockets,
                                                     const at::Device& device,
                                                     const CommunicatorOptions& options,
                                                     const NcclLibrary& library, WatchLimits limits) {
  limits.call_seconds = options.timeout_seconds;
  return std::make_unique<NcclCommunicator>(std::move(sockets), device, options, library, limits);
}

}  // namespace pixart::distributed
