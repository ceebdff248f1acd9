// The Castagnoli checksum (RFC 3720, appendix B.4): that of TFRecord files and of feature shards, not zlib's.
#pragma once
#include <cstdint>
#include <string_view>

namespace pixart::formats {

// Of `bytes`; with `before`, the checksum of what comes before them, of both together.
uint32_t crc32c(std::string_view bytes, uint32_t before = 0);

}  // namespace pixart::formats
