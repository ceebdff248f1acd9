// A TCPStore server that the launcher runs for its ranks.
#pragma once
#include <memory>

namespace pixart::distributed {

// Serves on the listening socket `descriptor`, which it takes over, until the result is destroyed. Starts a
// thread.
std::shared_ptr<void> serve_store(int descriptor, int port);

}  // namespace pixart::distributed
