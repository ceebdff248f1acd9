// The memory that the launcher shares with its ranks: one slot for each, written by the rank, read by the
// launcher after the rank has ended.
#pragma once
#include <cstdint>
#include <string>

namespace pixart::distributed {

inline constexpr const char* kBoardVariable = "PIXART_PHASE_BOARD";  // number of the inherited descriptor
inline constexpr char kBoardMagic[8] = "pxphase";

struct PhaseSlot {
  char magic[8];
  int32_t accused;  // the rank because of which this one ends, + 1; 0: none
  uint32_t length;
  char phase[200];
};

class PhaseBoard {
 public:
  explicit PhaseBoard(int num_ranks);  // throws UserError(kDevice)
  ~PhaseBoard();
  PhaseBoard(const PhaseBoard&) = delete;
  PhaseBoard& operator=(const PhaseBoard&) = delete;
  int descriptor() const { return descriptor_; }  // inherited by children
  std::string phase(int rank) const;              // "" before the first phase
  int accused(int rank) const;                    // -1: none

 private:
  int num_ranks_, descriptor_ = -1;
  PhaseSlot* slots_ = nullptr;
};

}  // namespace pixart::distributed
