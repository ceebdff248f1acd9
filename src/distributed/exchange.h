// One call of Mesh::exchange in progress.
#pragma once
#include <poll.h>

#include <cstdint>
#include <span>
#include <vector>

#include "mesh.h"

namespace pixart::distributed {

struct FrameHeader {
  uint32_t magic;
  int32_t detail;
  uint64_t sequence, payload_bytes, call_bytes;
  char name[32];
  char phase[128];
};

class Exchange {
 public:
  Exchange(Mesh& mesh, const Call& call, std::span<const Part> parts);
  void run();

 private:
  struct Peer {
    FrameHeader out{}, in{};
    uint64_t sent = 0, received = 0;  // bytes, including the header
    double progress = 0;              // when the last bytes moved
  };

  bool is_sent(int rank) const;
  bool is_received(int rank) const;
  bool send_some(int rank);
  bool receive_some(int rank);
  void check_header(int rank);
  void wait();
  std::vector<pollfd> awaited() const;
  void check_silence();
  [[noreturn]] void blame_ended(int rank);
  std::string last_seen(int rank) const;

  Mesh& mesh_;
  const Call& call_;
  const std::span<const Part> parts_;
  std::vector<Peer> peers_;
};

}  // namespace pixart::distributed
