// Ranks of one machine that meet in shared memory.
#pragma once
#include <atomic>
#include <cstddef>
#include <string>

namespace fake_gpu {

constexpr int kMostRanks = 16;
constexpr size_t kRoom = size_t(1) << 20;  // bytes that a rank hands over at once

class Meeting {
 public:
  // Returns when all `ranks` have come. `name` is the same for all, and used once.
  Meeting(const std::string& name, int rank, int ranks);
  ~Meeting();
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  // Waits for all ranks. False: one has aborted.
  bool meet();
  void abort();
  bool is_aborted() const;

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }
  char* room(int rank) const { return rooms_ + size_t(rank) * kRoom; }
  // What each rank is about to do.
  void say(const std::string& call);
  std::string said(int rank) const;

 private:
  struct Shared;
  const int rank_, ranks_;
  size_t bytes_;
  Shared* shared_ = nullptr;
  char* rooms_ = nullptr;
};

}  // namespace fake_gpu
