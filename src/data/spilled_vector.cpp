#include "spilled_vector.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>

namespace pixart::data {
namespace fs = std::filesystem;

int open_nameless_file() {
  std::error_code error;
  const fs::path folder = fs::temp_directory_path(error);
  return error ? -1 : ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
}

SpilledBytes& SpilledBytes::operator=(SpilledBytes&& other) noexcept {
  SpilledBytes taken(std::move(other));
  swap(taken);
  return *this;
}

void SpilledBytes::swap(SpilledBytes& other) noexcept {
  std::swap(most_in_memory_, other.most_in_memory_);
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(can_spill_, other.can_spill_);
}

void SpilledBytes::release() noexcept {
  if (is_in_file()) {
    ::munmap(data_, capacity_);
    ::close(descriptor_);
  } else {
    std::free(data_);
  }
  data_ = nullptr, capacity_ = 0, descriptor_ = -1;
}

void SpilledBytes::reserve(size_t bytes) {
  if (bytes <= capacity_) return;
  if (bytes > most_in_memory_ && can_spill_) can_spill_ = grow_file(bytes);
  if (capacity_ < bytes) grow_memory(bytes);
}

// The blocks of the file are reserved: a page for which the disk has no room would end the process.
bool SpilledBytes::grow_file(size_t bytes) {
  const int descriptor = is_in_file() ? descriptor_ : open_nameless_file();
  if (descriptor < 0) return false;
  void* mapped = MAP_FAILED;
  if (::posix_fallocate(descriptor, 0, off_t(bytes)) == 0)
    mapped = is_in_file() ? ::mremap(data_, capacity_, bytes, MREMAP_MAYMOVE)
                          : ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (mapped == MAP_FAILED) {
    if (!is_in_file()) ::close(descriptor);
    return false;
  }
  if (!is_in_file()) {
    if (capacity_ > 0) std::memcpy(mapped, data_, capacity_);
    std::free(data_);
  }
  data_ = static_cast<char*>(mapped), capacity_ = bytes, descriptor_ = descriptor;
  return true;
}

void SpilledBytes::grow_memory(size_t bytes) {
  void* memory = is_in_file() ? std::malloc(bytes) : std::realloc(data_, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  if (is_in_file()) {
    std::memcpy(memory, data_, capacity_);
    release();
  }
  data_ = static_cast<char*>(memory), capacity_ = bytes;
}

}  // namespace pixart::data
