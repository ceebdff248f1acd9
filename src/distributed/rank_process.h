// One rank as a child process.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "socket.h"

namespace pixart::distributed {

// In this variable `pixart launch` tells rank 0 the number of the descriptor that it inherits (Launch::door).
inline constexpr const char* kDoorVariable = "PIXART_RENDEZVOUS_SOCKET";

struct RankCommand {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> variables;  // added to its environment
  int inherited = -1;                                          // a descriptor that it keeps
  bool has_terminal = false;  // keeps stdout and stderr; otherwise they go to a pipe
};

class RankProcess {
 public:
  explicit RankProcess(const RankCommand& command);  // starts it; throws UserError(kDevice)
  RankProcess(RankProcess&&) = default;
  RankProcess& operator=(RankProcess&&) = delete;
  ~RankProcess();  // kills it if it still runs

  bool is_running() const { return pid_ > 0 && !status_; }
  int status() const { return *status_; }  // as from waitpid(), after it has ended
  bool reap();                             // true: it has ended since the last call
  // That it has used; nothing if it has ended or /proc cannot be read.
  std::optional<double> cpu_seconds() const;
  void signal(int number);  // to it and its children
  int output() const { return output_.get(); }
  std::string read_output();  // the available output; closes the pipe at its end
  void close_output() { output_.close(); }

 private:
  struct Pid {  // emptied when moved from
    int value = -1;
    Pid() = default;
    Pid(Pid&& other) noexcept : value(std::exchange(other.value, -1)) {}
    Pid& operator=(int pid) {
      value = pid;
      return *this;
    }
    operator int() const { return value; }
  } pid_;
  std::optional<int> status_;
  Socket output_;
};

}  // namespace pixart::distributed
