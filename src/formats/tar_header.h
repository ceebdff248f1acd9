// One 512-byte header of a tar archive, and the records of a pax header. See tar.h.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pixart::formats {

inline constexpr uint64_t kTarBlock = 512;

// Contents are followed by zeros up to a whole block.
constexpr uint64_t whole_blocks(uint64_t bytes) { return (bytes + kTarBlock - 1) / kTarBlock * kTarBlock; }

struct TarHeader {
  std::string name;
  uint64_t bytes = 0;
  char type = '0';
};

// Whether `block` has a header's checksum and, if `wants_magic`, the mark of ustar or GNU tar.
bool is_tar_header(std::string_view block, bool wants_magic);

// Of a block that is_tar_header(). Throws UserError with the reason alone.
TarHeader parse_tar_header(std::string_view block);

// What a pax header says of the next member ('x') or of all ('g').
struct PaxRecords {
  std::optional<std::string> path = {};
  std::optional<uint64_t> size = {};
  bool is_sparse = false;
};

// Sets what `text`, "LENGTH KEY=VALUE\n"..., says. Throws UserError with the reason alone.
void parse_pax(std::string_view text, PaxRecords& records);

}  // namespace pixart::formats
