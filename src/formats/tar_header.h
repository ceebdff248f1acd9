// One 512-byte header of a tar archive, and the records of a pax header. See tar.h.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pixart::formats {

inline constexpr uint64_t kTarBlock = 512;

// Content is followed by zeros up to a whole block.
constexpr uint64_t whole_blocks(uint64_t bytes) { return (bytes + kTarBlock - 1) / kTarBlock * kTarBlock; }

struct TarHeader {
  std::string name;
  uint64_t bytes = 0;
  char type = '0';
  std::string link = {};  // of a link: the name of what it names
};

// True if `block` has a header's checksum and, if `wants_magic`, the magic of ustar or GNU tar.
bool is_tar_header(std::string_view block, bool wants_magic);

// Parses a block for which is_tar_header() is true. Throws UserError with only the reason.
TarHeader parse_tar_header(std::string_view block);

// The values that a pax header sets for the next member ('x') or for all members ('g').
struct PaxRecords {
  std::optional<std::string> path = {}, link = {};
  std::optional<uint64_t> size = {};
  bool is_sparse = false;
};

// Sets the values in `text`, "LENGTH KEY=VALUE\n"... Throws UserError with only the reason.
void parse_pax(std::string_view text, PaxRecords& records);

}  // namespace pixart::formats
