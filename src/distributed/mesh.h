// Sockets between all pairs of ranks, and the one operation on them: all ranks exchange data with all ranks.
//
// Each pair has two connections. `data` carries frames (header, payload). `control` carries nothing until a
// rank fails: then one notice, so that the others learn the cause and do not blame the rank that sent it.
#pragma once
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "call_progress.h"
#include "handshake.h"
#include "pixart/base/error.h"
#include "socket.h"

namespace pixart::distributed {

struct Link {
  Socket data, control;                  // both closed for this rank's own entry
  std::string last_phase;                // of the last received frame
  double last_seen = 0;                  // when that frame was received
  bool has_ended = false;                // the other side has closed `control`
  bool has_told = false;                 // a notice was received
  std::optional<CallProgress> progress;  // from that notice
};

// The data sent to, and expected from, one rank. Both may be empty.
struct Part {
  const void* send = nullptr;
  uint64_t send_bytes = 0;
  void* receive = nullptr;
  uint64_t receive_bytes = 0;
};

// The call that all ranks must make; compared with the header of each frame.
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

  // Sends parts[r] to each rank r and receives from it; parts[rank()] is ignored. Returns when everything is
  // received and handed to the system, so it is also a barrier. Throws as described in communicator.h.
  void exchange(const Call& call, std::span<const Part> parts);

  // Returns the problem if a rank has failed or ended. Never waits; for a watching thread while this one is
  // busy.
  std::optional<std::string> look_for_failure();

  // Notifies all ranks and throws. accused: the rank that is lost or has failed, -1 if unknown.
  [[noreturn]] void give_up(const std::string& message, int accused, ExitCode code = ExitCode::kDevice);
  // The same without throwing; later calls throw.
  void announce(const std::string& message, int accused, ExitCode code = ExitCode::kDevice);
  // The same for a rank that has no error itself, but waits for others in a call for too long.
  void announce_wait(const std::string& message);
  // `progress` is in each notice, and a failure of another rank is answered with one as soon as it is seen. So
  // after announce_wait() all ranks learn who keeps the others waiting, and name these ranks. Called under a lock.
  void answer_with(std::function<CallProgress()> progress);
  // After a failure: the ranks that have sent neither notice nor answer since. Reads all arrived notices.
  std::vector<int> silent_ranks();
  // Waits a moment until nobody is silent, and accuses the first rank that stays so.
  std::vector<int> wait_for_answers();

 private:
  friend class Exchange;
  struct Failure {
    std::string message;
    ExitCode code;
    int accused;
    bool is_wait;  // of announce_wait(): who is to blame is not known before all have answered
  };

  void throw_if_failed();
  void read_notices(int64_t wait_milliseconds, int until_ended);
  void read_notice(int from);
  void tell(const Failure& failure);
  void name_delayed();

  const int rank_;
  const double timeout_seconds_;
  std::vector<Link> links_;
  uint64_t sequence_ = 0;
  std::mutex control_mutex_;  // guards the control connections and failure_
  std::optional<Failure> failure_;
  bool told_ = false;  // this rank's notice is sent
  std::function<CallProgress()> progress_;
};

// Connects to the ranks below this one and lets in those above, and nobody else (handshake.h). Throws
// UserError(kDevice) that names the ranks that did not connect by the deadline. Adds to `strangers`.
std::vector<Link> connect_all(const Launch& launch, const std::vector<Address>& addresses,
                              const std::string& key, const Socket& listener, double deadline,
                              Strangers& strangers);

}  // namespace pixart::distributed
