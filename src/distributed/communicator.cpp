#include "pixart/distributed/communicator.h"

#include <ATen/ATen.h>

#include "cpu_communicator.h"
#include "nccl_communicator.h"
#include "own_gpu.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/distributed/phase.h"
#include "rendezvous.h"

namespace pixart::distributed {

namespace {

class SingleRank final : public Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  void all_reduce_sum(at::Tensor&, std::string_view phase) override { enter_phase(phase); }
  void reduce_scatter(const at::Tensor& input, at::Tensor& output, std::string_view phase) override {
    copy(input, output, phase);
  }
  void all_gather(const at::Tensor& input, at::Tensor& output, std::string_view phase) override {
    copy(input, output, phase);
  }
  void broadcast(at::Tensor&, int root, std::string_view phase) override {
    PIXART_CHECK(root == 0, "root {} of one rank", root);
    enter_phase(phase);
  }
  void barrier(std::string_view phase) override { enter_phase(phase); }

 private:
  static void copy(const at::Tensor& input, at::Tensor& output, std::string_view phase) {
    enter_phase(phase);
    check_parts(input, output, 1);
    if (output.data_ptr() != input.data_ptr()) output.view({-1}).copy_(input.view({-1}));
  }
};

}  // namespace

CommunicatorOptions communicator_options_from_environment() {
  CommunicatorOptions options;
  const auto text = environment_variable("PIXART_DIST_TIMEOUT");
  if (!text || text->empty()) return options;
  char* end = nullptr;
  options.timeout_seconds = std::strtod(text->c_str(), &end);
  if (*end != '\0' || !(options.timeout_seconds >= 0.1 && options.timeout_seconds <= 1e6))
    throw UserError(fmt::format("PIXART_DIST_TIMEOUT is '{}', expected seconds from 0.1 to 1000000", *text));
  return options;
}

std::unique_ptr<Communicator> make_communicator(const Launch& launch, const at::Device& device,
                                                const CommunicatorOptions& options) {
  if (launch.world_size == 1 && (device.is_cpu() || !options.even_alone))
    return std::make_unique<SingleRank>();
  auto mesh = launch.world_size == 1
                  ? std::make_unique<Mesh>(0, std::vector<Link>(1), options.timeout_seconds)
                  : meet(launch, options);
  auto sockets = std::make_unique<CpuCommunicator>(std::move(mesh));
  if (device.is_cpu()) return sockets;
  check_own_gpus(*sockets, machine_id(), options.gpu);
  return make_nccl_communicator(std::move(sockets), device, options, nccl_library());
}

}  // namespace pixart::distributed
