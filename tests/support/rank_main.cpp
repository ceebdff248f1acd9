// A rank for tests of `pixart launch`: sums in a loop, and at step 5 one rank does what it was told to.
//   pixart_rank WHAT [RANK]   WHAT: work, exit, kill, stop, hang, warn, network (warns with NCCL's
//   variable), stubborn, request (runs until asked to stop), outlast (the same, but then that rank hangs),
//   outlive (the same, but that rank goes on until it is asked itself), last (that rank is stopped after its last step), late (that rank comes when there is a
//   file "go")
#include <ATen/ATen.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include "pixart/base/env.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/distributed/agreement.h"
#include "pixart/distributed/phase.h"

namespace pixart {
namespace {

constexpr int kSteps = 10, kEventfulStep = 5;

void do_what(const std::string& what) {
  if (what == "exit") std::_Exit(3);
  if (what == "kill") ::raise(SIGKILL);
  if (what == "stop") ::raise(SIGSTOP);
  if (what == "hang")
    for (;;) ::pause();
  if (what == "warn") log::warning("the disk is slow");
  if (what == "network")
    log::warning("NCCL uses {}", environment_variable("NCCL_SOCKET_IFNAME").value_or("what it likes"));
}

// Only one rank got the first request.
void outlast(const std::string& what) {
  write_file_atomically("event", what);
  if (what == "outlast") ::raise(SIGSTOP);
  while (!stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

void work(const std::string& what, int eventful_rank) {
  const auto launch = distributed::launch_from_environment();
  write_file_atomically("pid-" + std::to_string(launch.rank), std::to_string(process_id()));
  catch_stop_signals();
  if (what == "stubborn") std::signal(SIGTERM, SIG_IGN);
  while (what == "late" && launch.rank == eventful_rank && !std::filesystem::exists("go"))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const auto ranks =
      distributed::make_communicator(launch, at::kCPU, distributed::communicator_options_from_environment());
  log::info("rank {} of {}", launch.rank, launch.world_size);
  at::Tensor sum = at::ones({1000});
  const bool may_outlast = what == "outlast" || what == "outlive";
  const bool is_endless = what == "request" || may_outlast;
  for (int step = 1; step <= kSteps || is_endless; ++step) {
    distributed::enter_phase(fmt::format("step {}: reading", step));
    if (step == kEventfulStep && launch.rank == eventful_rank && !may_outlast && what != "last") {
      write_file_atomically("event", what);
      do_what(what == "stubborn" ? "exit" : what);
    }
    if (step == kEventfulStep && what == "stubborn") do_what("hang");
    ranks->all_reduce_sum(sum, fmt::format("step {}: gradients", step));
    sum /= launch.world_size;
    const bool stops = distributed::any_rank(*ranks, stop_requested(), fmt::format("step {}: stop", step));
    if (stops && may_outlast && launch.rank == eventful_rank) outlast(what);
    if (stops) throw UserError(fmt::format("stopped on request after step {}", step), ExitCode::kRequeue);
    if (is_endless) write_file_atomically("step-" + std::to_string(launch.rank), std::to_string(step));
  }
  if (what == "last" && launch.rank == eventful_rank) ::raise(SIGSTOP);
  if (launch.rank == 0) std::printf("sum %g\n", sum.sum().item<double>());
}

}  // namespace
}  // namespace pixart

int main(int argc, char** argv) {
  try {
    pixart::work(argc > 1 ? argv[1] : "work", argc > 2 ? std::atoi(argv[2]) : -1);
    return 0;
  } catch (const pixart::UserError& error) {
    pixart::log::error("{}", error.what());
    return int(error.code());
  } catch (const std::exception& error) {
    pixart::log::error("internal error: {}", error.what());
    return int(pixart::ExitCode::kInternal);
  }
}
