#include "pixart/distributed/phase.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "phase_board.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::distributed {

namespace {

template <size_t kMostBytes>
std::string text_of(const SharedText<kMostBytes>& text) {
  return {text.bytes, std::min<size_t>(text.length, kMostBytes)};
}

template <size_t kMostBytes>
void write(SharedText<kMostBytes>& text, std::string_view words) {
  text.length = uint32_t(std::min(words.size(), kMostBytes));
  std::memcpy(text.bytes, words.data(), text.length);
}

// This process's slot in the launcher's memory, or its own slot. The descriptor comes from a variable that
// may be stale, so only sealed memory of the right size that starts with our magic is written to.
PhaseSlot* find_slot() {
  static PhaseSlot own{};
  const auto board = environment_variable(kBoardVariable), local_rank = environment_variable("LOCAL_RANK");
  if (!board || !local_rank) return &own;
  const int descriptor = std::atoi(board->c_str()), index = std::atoi(local_rank->c_str());
  if (descriptor <= STDERR_FILENO || index < 0 || ::fcntl(descriptor, F_GET_SEALS) < 0) return &own;
  struct stat status {};
  const size_t end = size_t(index + 1) * sizeof(PhaseSlot);
  if (::fstat(descriptor, &status) != 0 || size_t(status.st_size) < end) return &own;
  void* memory = ::mmap(nullptr, end, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) return &own;
  auto* slot = static_cast<PhaseSlot*>(memory) + index;
  if (std::memcmp(slot->magic, kBoardMagic, sizeof kBoardMagic) != 0) return &own;
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return slot;
}

PhaseSlot& slot() {
  static PhaseSlot* const found = find_slot();
  return *found;
}

std::mutex mutex;

}  // namespace

void enter_phase(std::string_view phase) {
  const std::scoped_lock lock(mutex);
  write(slot().phase, phase);
}

std::string current_phase() {
  const std::scoped_lock lock(mutex);
  return text_of(slot().phase);
}

void accuse_rank(int rank, std::string_view problem) {
  const std::scoped_lock lock(mutex);
  slot().accused = rank + 1;
  write(slot().problem, problem);
}

PhaseBoard::PhaseBoard(int num_ranks) : num_ranks_(num_ranks) {
  const size_t bytes = size_t(num_ranks) * sizeof(PhaseSlot);
  descriptor_ = ::memfd_create("pixart-phases", MFD_ALLOW_SEALING);
  void* memory = MAP_FAILED;
  if (descriptor_ >= 0 && ::ftruncate(descriptor_, off_t(bytes)) == 0 &&
      ::fcntl(descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
    memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
  if (memory == MAP_FAILED) {
    const std::string reason = std::strerror(errno);
    if (descriptor_ >= 0) ::close(descriptor_);
    throw UserError("cannot create shared memory for the phases of the ranks: " + reason, ExitCode::kDevice);
  }
  slots_ = static_cast<PhaseSlot*>(memory);
  for (int rank = 0; rank < num_ranks; ++rank)
    std::memcpy(slots_[rank].magic, kBoardMagic, sizeof kBoardMagic);
}

PhaseBoard::~PhaseBoard() {
  ::munmap(slots_, size_t(num_ranks_) * sizeof(PhaseSlot));
  ::close(descriptor_);
}

std::string PhaseBoard::phase(int rank) const { return text_of(slots_[rank].phase); }
std::string PhaseBoard::problem(int rank) const { return text_of(slots_[rank].problem); }

int PhaseBoard::accused(int rank) const {
  const int accused = slots_[rank].accused - 1;
  return accused < num_ranks_ ? accused : -1;
}

}  // namespace pixart::distributed
