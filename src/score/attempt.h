// Opening several things, so that all of their problems are listed at once.
#pragma once
#include "pixart/base/error.h"

namespace pixart::score {

// Runs `open`. What is wrong with the user's input becomes a problem; other errors pass.
template <class Open>
void attempt(Problems& problems, const Open& open) {
  try {
    open();
  } catch (const UserError& failure) {
    if (failure.code() != ExitCode::kBadInput) throw;
    problems.add(failure.what());
  }
}

}  // namespace pixart::score
