// Lets the system refuse threads of this process.
#pragma once

namespace pixart::testing {

void refuse_threads_after(int count);  // that still start; for a process of its own

}  // namespace pixart::testing
