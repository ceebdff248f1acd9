// The decoded pages of Parquet files that were used last.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>

#include "parquet_plugin.h"

namespace pixart::data {

class ParquetCache {
 public:
  using Key = std::array<uint64_t, 4>;  // file, row group, column, page
  explicit ParquetCache(uint64_t most_bytes) : most_bytes_(most_bytes) {}

  // The values that `decode` makes, or made for an earlier call. Threads that ask for one page wait for the first.
  std::shared_ptr<const ParquetValues> get(const Key& key, const std::function<ParquetValues()>& decode);
  uint64_t bytes() const;  // of all pages in it

 private:
  struct Slot {
    std::mutex mutex;
    std::shared_ptr<const ParquetValues> values;
    uint64_t bytes = 0;
  };
  using Entry = std::pair<Key, std::shared_ptr<Slot>>;
  std::shared_ptr<Slot> slot_of(const Key& key);
  void count(const Key& key, uint64_t bytes);

  const uint64_t most_bytes_;
  mutable std::mutex mutex_;
  uint64_t bytes_ = 0;
  std::list<Entry> used_;  // the last one first
  std::map<Key, std::list<Entry>::iterator> places_;
};

}  // namespace pixart::data
