// A server of the files of a folder on 127.0.0.1, as quick as those that people read shards from.
#pragma once
#include <filesystem>
#include <memory>

namespace pixart::bench {

class RangeServer {
 public:
  explicit RangeServer(const std::filesystem::path& folder);
  ~RangeServer();
  int port() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::bench
