#include "parquet_cache.h"

namespace pixart::data {

namespace {

uint64_t bytes_of(const ParquetValues& values) {
  return values.bytes.capacity() + values.first.capacity() * sizeof(values.first[0]) +
         values.places.capacity() * sizeof(values.places[0]) + values.numbers.capacity() * sizeof(int64_t);
}

}  // namespace

std::shared_ptr<ParquetCache::Slot> ParquetCache::slot_of(const Key& key) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = places_.find(key); found != places_.end()) {
    used_.splice(used_.begin(), used_, found->second);
    return found->second->second;
  }
  used_.emplace_front(key, std::make_shared<Slot>());
  places_.emplace(key, used_.begin());
  return used_.front().second;
}

// Counts a new page, and drops those that were not used for longest; those that are in use live on.
void ParquetCache::count(const Key& key, uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  const auto found = places_.find(key);
  if (found == places_.end()) return;  // dropped meanwhile
  found->second->second->bytes = bytes;
  bytes_ += bytes;
  while (bytes_ > most_bytes_ && used_.size() > 1) {
    bytes_ -= used_.back().second->bytes;
    places_.erase(used_.back().first);
    used_.pop_back();
  }
}

std::shared_ptr<const ParquetValues> ParquetCache::get(const Key& key,
                                                       const std::function<ParquetValues()>& decode) {
  const auto slot = slot_of(key);
  const std::scoped_lock lock(slot->mutex);
  if (slot->values) return slot->values;
  slot->values = std::make_shared<const ParquetValues>(decode());
  count(key, bytes_of(*slot->values));
  return slot->values;
}

uint64_t ParquetCache::bytes() const {
  const std::scoped_lock lock(mutex_);
  return bytes_;
}

}  // namespace pixart::data
