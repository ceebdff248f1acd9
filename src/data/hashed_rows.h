// Which rows have the same hash, for sources of any size: of ten million rows it keeps one million in memory and
// the others in a file without a name, in the folder for temporary files, and reads that some times at the end.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace pixart::data {

class HashedRows {
 public:
  static constexpr size_t kMostInMemory = size_t{1} << 20;  // of 16 bytes

  explicit HashedRows(size_t most_in_memory = kMostInMemory) : most_in_memory_(most_in_memory) {}
  ~HashedRows();
  HashedRows(const HashedRows&) = delete;
  HashedRows& operator=(const HashedRows&) = delete;

  // Where the file cannot be made, or its disk is full, the rows stay in memory.
  void add(uint64_t hash, int64_t row);
  // Calls use(rows) once for each hash, with its rows rising; in no special order of the hashes.
  void for_each_hash(const std::function<void(const std::vector<int64_t>&)>& use) const;
  int64_t num_hashes() const;
  size_t num_in_memory() const { return waiting_.size(); }

 private:
  struct Entry {
    uint64_t hash = 0;
    int64_t row = 0;
  };
  void spill();
  void for_each_entry(const std::function<void(const Entry&)>& use) const;

  const size_t most_in_memory_;
  std::vector<Entry> waiting_;
  int descriptor_ = -1;
  uint64_t file_bytes_ = 0;
  bool can_spill_ = true;
};

}  // namespace pixart::data
