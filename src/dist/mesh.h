// Sockets between all pairs of ranks, and the one operation on them: everybody exchanges with everybody.
//
// Each pair has two connections. `data` carries frames (header, payload). `control` carries nothing until a
// rank fails: then one notice, so that the others learn the cause and do not blame the one that told them.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/error.h"
#include "socket.h"

namespace pixart::dist {

struct Link {
  Socket data, control;    // both closed for this rank's own entry
  std::string last_phase;  // of the last frame that came
  double last_seen = 0;    // when it came
  bool has_ended = false;  // the other side has closed `control`
  bool has_told = false;   // a notice came
};

// What is sent to, and expected from, one rank. Both may be empty.
struct Part {
  const void* send = nullptr;
  uint64_t send_bytes = 0;
  void* receive = nullptr;
  uint64_t receive_bytes = 0;
};

// What all ranks must do alike; compared with what each frame says.
struct Call {
  std::string_view name;
  uint64_t bytes = 0;
  int32_t detail = 0;  // type, root
  std::string_view phase;
};

class Mesh {
 public:
  Mesh(int rank, std::vector<Link> links, double timeout_seconds);
  int rank() const { return rank_; }
  int world_size() const { return int(links_.size()); }

  // Sends parts[r] to each rank r and receives from it; parts[rank()] is ignored. Returns when all is
  // received and handed to the system: so it is a barrier too. Throws as communicator.h says.
  void exchange(const Call& call, std::span<const Part> parts);

  // Has a rank failed or ended? Never waits; for a thread that watches while this one is busy elsewhere.
  std::optional<std::string> look_for_failure();

  // Tells all ranks and throws. accused: the lost rank, -1 if none.
  [[noreturn]] void give_up(const std::string& message, int accused, ExitCode code = ExitCode::kDevice);
  // The same without throwing; later calls throw.
  void announce(const std::string& message, int accused, ExitCode code = ExitCode::kDevice);
  // After a failure: the ranks from which nothing has come since, neither notice nor answer. Reads what has
  // come.
  std::vector<int> silent_ranks();

 private:
  friend class Exchange;
  struct Failure {
    std::string message;
    ExitCode code;
  };

  void throw_if_failed();
  void read_notices(int64_t wait_milliseconds, int until_ended);
  void read_notice(int from);

  const int rank_;
  const double timeout_seconds_;
  std::vector<Link> links_;
  uint64_t sequence_ = 0;
  std::mutex control_mutex_;  // the control connections and failure_
  std::optional<Failure> failure_;
  bool told_ = false;  // this rank's notice is sent
};

// Connects to the ranks below this one and accepts those above; `token` tells this run's ranks from
// strangers. Throws UserError(kDevice) that names the ranks which did not come by the deadline.
std::vector<Link> connect_all(int rank, const std::vector<Address>& addresses, uint64_t token,
                              const Socket& listener, double deadline);

}  // namespace pixart::dist
