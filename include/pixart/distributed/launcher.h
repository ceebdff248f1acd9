// Starts ranks on this machine and watches them.
#pragma once
#include <string>
#include <vector>

namespace pixart::distributed {

struct LauncherOptions {
  int num_ranks = 1;
  std::string program;                 // path; empty: this program itself
  std::vector<std::string> arguments;  // of the program
  double timeout_seconds = 0;          // PIXART_DIST_TIMEOUT of the ranks; 0: as it is set
};

// Starts the ranks with torchrun's variables and a new PIXART_RUN_TOKEN, and returns when all have ended with 0.
// - Rank 0 writes to the terminal. Of the other ranks only warnings and errors are shown, with "[rank k] "
//   before them, and the last lines of a rank that fails.
// - When a rank fails, the others get SIGTERM, and SIGKILL after 6 s. Then a UserError is thrown that names
//   the guilty rank, how it ended and its last phase; its code is the rank's (128 + signal number if it was
//   killed, 76 if it hung).
// - stop_signals() (base/env.h) are passed on; the third one kills the ranks, except SIGHUP. A rank that ends
//   with 75 has stopped on request, which is not a failure; ranks that have not met the others yet get
//   SIGTERM then. UserError(kRequeue) is thrown when all have ended. Ranks that still run after the time-out
//   and 4 s get SIGTERM, and SIGKILL after another 6 s: then UserError(kDevice) names the rank that was killed.
// - The ranks get SIGTERM when the launcher itself is killed.
// Single-threaded callers only (it forks).
void launch_ranks(const LauncherOptions& options);

}  // namespace pixart::distributed
