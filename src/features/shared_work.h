// Work that the ranks of a run, or processes that extract together, share through claims (base/claim.h).
#pragma once
#include <functional>

#include "pixart/base/claim.h"

namespace pixart::features {

// A rank waits for a silent holder as long as for a silent rank; a process by itself waits without end.
SharedWork shared_with_ranks();

// Calls work(). If it throws SilentHolder, the launcher is told which rank hangs.
void blame_silent_rank(const std::function<void()>& work);

}  // namespace pixart::features
