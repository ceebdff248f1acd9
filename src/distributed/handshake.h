// How two ranks prove to each other that they belong to the same run, before either believes a word of the
// other. Both know the run token (Launch::token), which is never sent:
//   guest -> host   Introduction, with a nonce
//   host  -> guest  a nonce
//   guest -> host   HMAC(key, "guest", everything so far)
//   host  -> guest  HMAC(key, "host", everything so far)
// All parts have a fixed size, and none can be used a second time.
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "pixart/distributed/launch_variables.h"
#include "socket.h"

namespace pixart::distributed {

enum class Purpose : uint32_t { kMeeting, kData, kControl };

struct Introduction {
  uint32_t magic = 0;  // the first two are set by introduce()
  uint32_t to = 0;     // the rank that is meant
  Purpose purpose = Purpose::kMeeting;
  uint32_t rank = 0, world_size = 0;
  uint32_t port = 0;   // where this rank listens; 0: it does not
  char host[64] = {};  // the same, a numeric address
  char nonce[32] = {};
};

inline constexpr uint32_t kIntroductionMagic = 0x50784935;
inline constexpr size_t kNonceBytes = sizeof Introduction::nonce, kProofBytes = 32;

Introduction introduction_of(const Launch& launch, Purpose purpose, const Address& own = {});
Address address_of(const Introduction& introduction);

// The key of all proofs of this attempt of the run.
std::string session_key(const Launch& launch);

// What each side sends as the proof that it knows the key.
enum class Side { kGuest, kHost };
std::string prove(Side side, const std::string& key, const Introduction& guest, const std::string& nonce);

// Connects to rank `to`, and returns when both have proved themselves. Tries again until the deadline when the
// other side leaves, and for at most 10 s when it knows another token. Throws UserError: kDevice, and kRequeue
// when asked to stop while nobody listens there.
Socket connect_as(Introduction own, int to, const Address& address, const std::string& key, double deadline);

// Connections that were dropped because no rank of this run was at their other end.
struct Strangers {
  int64_t silent = 0;    // said too little in time, or left
  int64_t foreign = 0;   // said something that no rank says
  int64_t unproven = 0;  // did not know the run token
  int64_t all() const { return silent + foreign + unproven; }
  Strangers& operator+=(const Strangers& more);
};
std::string to_string(const Strangers& strangers);  // "dropped 3 connections of strangers: ..."

struct GateLimits {
  size_t pending = 256;       // connections whose other side is not known yet
  double prove_seconds = 10;  // from a connection to its proof
};

struct Visitor {
  Introduction introduction;
  Socket socket;
};

// Lets in ranks of this run that connect to `listener`, and nobody else. All connections are heard at the same
// time, so one that says nothing delays no other.
class Gate {
 public:
  Gate(const Socket& listener, std::string key, int rank, const GateLimits& limits = {});
  // Waits until somebody has come in, or until the deadline (monotonic_seconds).
  std::vector<Visitor> wait(double deadline);
  // Drops whoever still waits outside; returns the number of strangers since the beginning.
  Strangers close();
  const Strangers& strangers() const { return strangers_; }

 private:
  struct Pending {
    Socket socket;
    double since = 0;
    std::string heard;
    Introduction introduction = {};
    std::string nonce = {};  // "": not introduced yet
  };
  enum class Step { kWaits, kSilent, kForeign, kUnproven, kProven };

  void turn(double deadline, std::vector<Visitor>& came);
  void hear_all(const std::vector<bool>& can_be_read, std::vector<Visitor>& came);
  Step hear(Pending& pending) const;
  Step understand(Pending& pending) const;
  Step check_proof(const Pending& pending) const;
  void accept_some();
  void drop_one();
  void count(Step step);

  const Socket& listener_;
  const std::string key_;
  const uint32_t rank_;
  const GateLimits limits_;
  std::deque<Pending> pending_;  // the oldest first
  Strangers strangers_;
};

}  // namespace pixart::distributed
