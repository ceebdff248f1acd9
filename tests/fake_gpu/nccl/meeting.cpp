#include "meeting.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>

namespace fake_gpu {

namespace {

constexpr size_t kHead = 1 << 14;  // bytes in front of the rooms
constexpr size_t kSaid = 512;

}  // namespace

// New shared memory holds zeros.
struct Meeting::Shared {
  std::atomic<int> arrived, meetings, aborted;
  char said[kMostRanks][kSaid];
};

Meeting::Meeting(const std::string& name, int rank, int ranks)
    : rank_(rank), ranks_(ranks), bytes_(kHead + size_t(ranks) * kRoom) {
  static_assert(sizeof(Shared) <= kHead);
  const int file = ::shm_open(name.c_str(), O_RDWR | O_CREAT, 0600);
  void* memory = MAP_FAILED;
  if (file >= 0 && ranks <= kMostRanks && ::ftruncate(file, off_t(bytes_)) == 0)
    memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "fake NCCL: " + name);
  ::close(file);
  shared_ = static_cast<Shared*>(memory);
  rooms_ = static_cast<char*>(memory) + kHead;
  meet();
  ::shm_unlink(name.c_str());
}

Meeting::~Meeting() { ::munmap(shared_, bytes_); }

bool Meeting::meet() {
  const int before = shared_->meetings;
  if (shared_->arrived.fetch_add(1) + 1 == ranks_) {
    shared_->arrived = 0;
    ++shared_->meetings;
    return true;
  }
  while (shared_->meetings == before) {
    if (is_aborted()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return true;
}

void Meeting::abort() { shared_->aborted = 1; }
bool Meeting::is_aborted() const { return shared_->aborted != 0; }

void Meeting::say(const std::string& call) { std::snprintf(shared_->said[rank_], kSaid, "%s", call.c_str()); }
std::string Meeting::said(int rank) const { return shared_->said[rank]; }

}  // namespace fake_gpu
