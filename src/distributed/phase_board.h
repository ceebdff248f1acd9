// The memory that the launcher shares with its ranks: one slot for each, written by the rank, read by the
// launcher after the rank has ended.
#pragma once
#include <cstdint>
#include <string>

namespace pixart::distributed {

inline constexpr const char* kBoardVariable = "PIXART_PHASE_BOARD";  // number of the inherited descriptor
inline constexpr char kBoardMagic[8] = "pxphas2";

template <size_t kMostBytes>
struct SharedText {  // cut after kMostBytes
  uint32_t length;
  char bytes[kMostBytes];
};

struct PhaseSlot {
  char magic[8];
  int32_t accused;  // the rank because of which this one ends, + 1; 0: none
  SharedText<199> phase;
  SharedText<799> problem;  // why this rank ends
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
  std::string problem(int rank) const;            // "": none

 private:
  int num_ranks_, descriptor_ = -1;
  PhaseSlot* slots_ = nullptr;
};

}  // namespace pixart::distributed
