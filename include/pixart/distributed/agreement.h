// Small values on which all ranks must agree. All functions use the CPU only and are collective: every rank
// calls them with the same phase.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/distributed/communicator.h"

namespace pixart::distributed {

bool any_rank(Communicator& communicator, bool value, std::string_view phase);   // true on one rank or more
bool all_agree(Communicator& communicator, bool value, std::string_view phase);  // true on all ranks
double max_over_ranks(Communicator& communicator, double value, std::string_view phase);
int64_t sum_over_ranks(Communicator& communicator, int64_t value, std::string_view phase);

// Returns one string of each rank, in rank order, on all ranks.
std::vector<std::string> gather_strings(Communicator& communicator, const std::string& text,
                                        std::string_view phase);
std::string broadcast_string(Communicator& communicator, const std::string& text, int root,
                             std::string_view phase);

// Exchanges errors: each rank passes its own error, if any. If a rank has one, all ranks throw a UserError
// with the messages of all failed ranks and the code of the lowest failed rank.
struct RankError {
  std::string message;
  ExitCode code = ExitCode::kInternal;
};
void throw_together(Communicator& communicator, const std::optional<RankError>& error,
                    std::string_view phase);

// Calls work() on each rank; if it throws a UserError, all ranks throw. `work` must not communicate with
// other ranks. A SilentHolder (base/claim.h) ends this rank alone: the silent rank would not answer.
void all_together(Communicator& communicator, std::string_view phase, const std::function<void()>& work);
// The same, but calls work() on rank 0 only; the others wait.
void on_first_rank(Communicator& communicator, std::string_view phase, const std::function<void()>& work);

// Each rank runs work(), in pieces. Between them work() calls its argument, which tells whether any rank is
// `asked` to stop. All ranks answer each time, also those without work, so all learn it at the same time, and
// a rank gives a sign of life after each piece: the time-out is for one piece, not for the whole work.
// Returns on all ranks whether one was asked. If work() throws a UserError, the other ranks end too, and all
// throw.
bool together_until(Communicator& communicator, std::string_view phase, const std::function<bool()>& asked,
                    const std::function<void(const std::function<bool()>& asked)>& work);

}  // namespace pixart::distributed
