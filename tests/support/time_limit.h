// What waits for another process for ever fails its test.
#pragma once
#include <unistd.h>

namespace pixart::testing {

// SIGALRM ends the process if the scope takes longer.
class TimeLimit {
 public:
  explicit TimeLimit(unsigned seconds) { ::alarm(seconds); }
  ~TimeLimit() { ::alarm(0); }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;
};

}  // namespace pixart::testing
