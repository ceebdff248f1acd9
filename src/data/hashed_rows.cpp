#include "hashed_rows.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "spilled_vector.h"

namespace pixart::data {

namespace {

bool write_all(int descriptor, const char* bytes, size_t count, uint64_t offset) {
  while (count > 0) {
    const ssize_t written = ::pwrite(descriptor, bytes, count, off_t(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written, count -= size_t(written), offset += uint64_t(written);
  }
  return true;
}

}  // namespace

HashedRows::~HashedRows() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void HashedRows::add(uint64_t hash, int64_t row) {
  if (waiting_.size() >= most_in_memory_ && can_spill_) spill();
  waiting_.push_back({hash, row});
}

void HashedRows::spill() {
  if (descriptor_ < 0) descriptor_ = open_nameless_file();
  const size_t bytes = waiting_.size() * sizeof(Entry);
  can_spill_ = descriptor_ >= 0 &&
               write_all(descriptor_, reinterpret_cast<const char*>(waiting_.data()), bytes, file_bytes_);
  if (!can_spill_) return;
  file_bytes_ += bytes;
  waiting_.clear();
}

void HashedRows::for_each_entry(const std::function<void(const Entry&)>& use) const {
  constexpr size_t kPiece = size_t{1} << 16;
  std::vector<Entry> piece(kPiece);
  for (uint64_t at = 0; at < file_bytes_;) {
    const size_t wanted = size_t(std::min<uint64_t>(kPiece * sizeof(Entry), file_bytes_ - at));
    const ssize_t got = ::pread(descriptor_, piece.data(), wanted, off_t(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) check_machine("a temporary file", errno);
    const size_t count = got > 0 ? size_t(got) / sizeof(Entry) : 0;
    if (count == 0) throw UserError("cannot read a temporary file.", ExitCode::kStorage);
    std::for_each_n(piece.begin(), count, use);
    at += count * sizeof(Entry);
  }
  std::for_each(waiting_.begin(), waiting_.end(), use);
}

// Each pass over the file takes a part of the hashes, of about as many as may be in memory.
void HashedRows::for_each_hash(const std::function<void(const std::vector<int64_t>&)>& use) const {
  const size_t num_entries = file_bytes_ / sizeof(Entry) + waiting_.size();
  const size_t parts = std::max<size_t>(1, (num_entries + most_in_memory_ - 1) / most_in_memory_);
  std::vector<Entry> entries;
  std::vector<int64_t> rows;
  for (size_t part = 0; part < parts; ++part) {
    entries.clear();
    for_each_entry([&](const Entry& entry) {
      if (entry.hash % parts == part) entries.push_back(entry);
    });
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.hash, a.row) < std::tie(b.hash, b.row);
    });
    for (auto begin = entries.begin(); begin != entries.end();) {
      const auto end =
          std::find_if(begin, entries.end(), [&](const Entry& entry) { return entry.hash != begin->hash; });
      rows.clear();
      std::for_each(begin, end, [&](const Entry& entry) { rows.push_back(entry.row); });
      use(rows);
      begin = end;
    }
  }
}

int64_t HashedRows::num_hashes() const {
  int64_t count = 0;
  for_each_hash([&](const auto&) { ++count; });
  return count;
}

}  // namespace pixart::data
