#include "own_gpu.h"

#include <map>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/distributed/agreement.h"

namespace pixart::distributed {

void check_own_gpus(Communicator& ranks, const std::string& machine, const std::string& gpu) {
  const auto all =
      gather_strings(ranks, gpu.empty() ? "" : machine + '\n' + gpu, "comparing the GPUs of the ranks");
  std::map<std::string, std::vector<std::string>> users;
  for (size_t r = 0; r < all.size(); ++r)
    if (!all[r].empty()) users[all[r]].push_back(std::to_string(r));
  for (const auto& [where, names] : users)
    if (names.size() > 1)
      throw UserError(
          fmt::format("ranks {} use the same GPU ({}), but each rank needs its own (parts of one GPU, MIG, "
                      "do not count). Start one rank for each GPU that CUDA_VISIBLE_DEVICES shows, or show "
                      "each rank another GPU.",
                      name_some(names), where.substr(where.find('\n') + 1)),
          ExitCode::kDevice);
}

}  // namespace pixart::distributed
