// Small things that all ranks must agree on. CPU only and collective: every rank calls, with the same phase.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/dist/communicator.h"

namespace pixart::dist {

bool any_rank(Communicator& communicator, bool value, std::string_view phase);   // true on one rank or more
bool all_agree(Communicator& communicator, bool value, std::string_view phase);  // true on all ranks
double max_over_ranks(Communicator& communicator, double value, std::string_view phase);
int64_t sum_over_ranks(Communicator& communicator, int64_t value, std::string_view phase);

// One string of each rank, in the order of ranks, on all ranks.
std::vector<std::string> gather_strings(Communicator& communicator, const std::string& text,
                                        std::string_view phase);
std::string broadcast_string(Communicator& communicator, const std::string& text, int root,
                             std::string_view phase);

// The rank boundary: each rank says what went wrong on it, if anything. When something did, all ranks throw
// a UserError that names each rank with its message; the code is that of the lowest such rank.
struct RankError {
  std::string message;
  ExitCode code = ExitCode::kInternal;
};
void throw_together(Communicator& communicator, const std::optional<RankError>& error,
                    std::string_view phase);

// Calls work() here, and what it throws (a UserError) is thrown together. `work` talks to no other rank.
void all_together(Communicator& communicator, std::string_view phase, const std::function<void()>& work);
// The same on rank 0 alone; the others wait.
void on_first_rank(Communicator& communicator, std::string_view phase, const std::function<void()>& work);

// Rank 0 works alone in pieces and calls its argument between them: whether any rank is `asked` to stop,
// which the waiting others answer each time, so that none of them finds out later or alone. Returns on all
// ranks whether one was asked; what work() throws (a UserError) is thrown together.
bool first_rank_until(Communicator& communicator, std::string_view phase, const std::function<bool()>& asked,
                      const std::function<void(const std::function<bool()>& asked)>& work);

}  // namespace pixart::dist
