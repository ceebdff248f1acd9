#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "settings.h"

namespace fake_gpu {

namespace {

constexpr size_t kRound = 512;                // of an allocation
constexpr size_t kSegment = size_t(2) << 20;  // of what a stream takes from the device
constexpr int64_t kNobody = -1;               // owner of memory that no stream has taken

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

char* map(int file, size_t bytes, int protection) {
  void* memory = ::mmap(nullptr, bytes, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (memory == MAP_FAILED) {
    std::perror("fake GPU: mmap");
    std::abort();
  }
  return static_cast<char*>(memory);
}

class Heap {
 public:
  explicit Heap(size_t bytes) : bytes_(round_up(bytes, kSegment)) {
    const int file = ::memfd_create("fake_gpu", 0);
    if (file < 0 || ::ftruncate(file, off_t(bytes_)) != 0) std::abort();
    kernels_ = map(file, bytes_, PROT_READ | PROT_WRITE);
    device_ = map(file, bytes_, PROT_NONE);
    ::close(file);
    add_free(0, {bytes_, kNobody, false, {}});
  }

  void* allocate(size_t bytes, int64_t stream) {
    bytes = round_up(bytes, kRound);
    const std::scoped_lock lock(mutex_);
    const bool found = can_take(bytes, stream) || take_segment(bytes, stream);
    if (!found) give_back_free();
    if (!found && !take_segment(bytes, stream)) {
      ++use_.refused;
      return nullptr;
    }
    const size_t at = take(bytes, stream);
    use_.current += int64_t(bytes);
    use_.peak = std::max(use_.peak, use_.current);
    std::memset(kernels_ + at, 255, bytes);
    return device_ + at;
  }

  Freed release(void* memory) {
    const std::scoped_lock lock(mutex_);
    const size_t at = offset_of(memory);
    const Piece piece = pieces_.at(at);
    use_.current -= int64_t(piece.bytes);
    pieces_.erase(at);
    add_free(at, {piece.bytes, piece.stream, false, {}});
    return {piece.stream, piece.users};
  }

  void add_user(void* memory, int64_t stream) {
    const std::scoped_lock lock(mutex_);
    pieces_.at(offset_of(memory)).users.insert(stream);
  }

  size_t bytes_left(const void* memory) {
    const std::scoped_lock lock(mutex_);
    const size_t at = offset_of(memory);
    const auto& [begin, piece] = *std::prev(pieces_.upper_bound(at));
    return piece.used ? begin + piece.bytes - at : 0;
  }

  bool holds(const void* memory) const { return memory >= device_ && memory < device_ + bytes_; }
  void* seen_by_kernels(const void* memory) const { return kernels_ + offset_of(memory); }

  MemoryUse use() {
    const std::scoped_lock lock(mutex_);
    return use_;
  }
  void reset_peak() {
    const std::scoped_lock lock(mutex_);
    use_.peak = use_.current;
  }
  void return_free() {
    const std::scoped_lock lock(mutex_);
    give_back_free();
  }

 private:
  struct Piece {
    size_t bytes;
    int64_t stream;
    bool used;
    std::set<int64_t> users;
  };

  size_t offset_of(const void* memory) const { return size_t(static_cast<const char*>(memory) - device_); }

  bool can_take(size_t bytes, int64_t stream) {
    const auto& fits = free_[stream];
    return fits.lower_bound({bytes, 0}) != fits.end();
  }

  // Removes `bytes` from the smallest free piece of the stream that holds them; returns where.
  size_t take(size_t bytes, int64_t stream) {
    const auto [size, at] = *free_[stream].lower_bound({bytes, 0});
    free_[stream].erase({size, at});
    pieces_.at(at).bytes = bytes;
    pieces_.at(at).used = true;
    if (size > bytes) add_free(at + bytes, {size - bytes, stream, false, {}});
    return at;
  }

  bool take_segment(size_t bytes, int64_t stream) {
    const size_t segment = round_up(bytes, kSegment);
    if (!can_take(segment, kNobody)) return false;
    const size_t at = take(segment, kNobody);
    pieces_.erase(at);
    add_free(at, {segment, stream, false, {}});
    use_.reserved += int64_t(segment);
    return true;
  }

  // Joins the piece with free neighbours of the same owner.
  void add_free(size_t at, Piece piece) {
    const auto joins = [&](const auto& other) { return !other.used && other.stream == piece.stream; };
    auto after = pieces_.find(at + piece.bytes);
    if (after != pieces_.end() && joins(after->second)) {
      free_[piece.stream].erase({after->second.bytes, after->first});
      piece.bytes += after->second.bytes;
      pieces_.erase(after);
    }
    auto before = pieces_.lower_bound(at);
    if (before != pieces_.begin() && joins(std::prev(before)->second) &&
        std::prev(before)->first + std::prev(before)->second.bytes == at) {
      --before;
      free_[piece.stream].erase({before->second.bytes, before->first});
      at = before->first;
      piece.bytes += before->second.bytes;
      pieces_.erase(before);
    }
    free_[piece.stream].insert({piece.bytes, at});
    pieces_.insert_or_assign(at, std::move(piece));
  }

  void give_back_free() {
    std::map<size_t, size_t> freed;
    for (auto& [stream, pieces] : free_) {
      if (stream == kNobody) continue;
      for (const auto& [bytes, at] : pieces) freed[at] = bytes;
      pieces.clear();
    }
    for (const auto& [at, bytes] : freed) {
      use_.reserved -= int64_t(bytes);
      pieces_.erase(at);
      add_free(at, {bytes, kNobody, false, {}});
    }
  }

  size_t bytes_;
  char *kernels_, *device_;
  std::mutex mutex_;
  std::map<size_t, Piece> pieces_;                               // by offset; they cover the memory
  std::map<int64_t, std::set<std::pair<size_t, size_t>>> free_;  // of each stream: size, offset
  MemoryUse use_;
};

constexpr int kMostDevices = 64;
std::array<std::atomic<Heap*>, kMostDevices> g_heaps{};

Heap& heap(int device) {
  static std::mutex mutex;
  auto& place = g_heaps.at(size_t(device));
  const std::scoped_lock lock(mutex);
  if (place.load() == nullptr) place = new Heap(settings().bytes);
  return *place;
}

Heap* heap_of(const void* memory) {
  const int device = device_of_memory(memory);
  return device < 0 ? nullptr : g_heaps[size_t(device)].load();
}

}  // namespace

void* allocate_memory(int device, size_t bytes, int64_t stream) {
  return heap(device).allocate(bytes, stream);
}
Freed free_memory(void* memory) { return heap_of(memory)->release(memory); }
void note_memory_user(void* memory, int64_t stream) { heap_of(memory)->add_user(memory, stream); }

int device_of_memory(const void* memory) {
  for (int device = 0; device < settings().devices && device < kMostDevices; ++device)
    if (Heap* one = g_heaps[size_t(device)]; one != nullptr && one->holds(memory)) return device;
  return -1;
}

void* seen_by_kernels(const void* memory) { return heap_of(memory)->seen_by_kernels(memory); }
bool is_allocated(const void* memory, size_t bytes) { return heap_of(memory)->bytes_left(memory) >= bytes; }
size_t bytes_left(const void* memory) { return heap_of(memory)->bytes_left(memory); }

MemoryUse memory_use(int device) {
  Heap* one = device >= 0 && device < kMostDevices ? g_heaps[size_t(device)].load() : nullptr;
  return one == nullptr ? MemoryUse{} : one->use();
}
void reset_peak(int device) { heap(device).reset_peak(); }
void return_free_memory(int device) { heap(device).return_free(); }

}  // namespace fake_gpu
