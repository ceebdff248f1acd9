#include "shared_work.h"

#include "pixart/distributed/communicator.h"
#include "pixart/distributed/launch_variables.h"
#include "pixart/distributed/phase.h"

namespace pixart::features {

SharedWork shared_with_ranks() {
  const auto launch = distributed::launch_from_environment();
  SharedWork shared;
  if (launch.world_size == 1) return shared;
  shared.rank = launch.rank;
  shared.patience_seconds = distributed::communicator_options_from_environment().timeout_seconds;
  return shared;
}

void blame_silent_rank(const std::function<void()>& work) {
  try {
    work();
  } catch (const SilentHolder& silent) {
    distributed::accuse_rank(silent.rank(), silent.what());
    throw;
  }
}

}  // namespace pixart::features
