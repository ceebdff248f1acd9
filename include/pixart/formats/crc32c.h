// The Castagnoli checksum (RFC 3720, appendix B.4), used in TFRecord files and feature shards, not in zlib.
#pragma once
#include <cstdint>
#include <string_view>

namespace pixart::formats {

// The checksum of `bytes`. With `before`, the checksum of earlier bytes, it is that of both parts together.
uint32_t crc32c(std::string_view bytes, uint32_t before = 0);

}  // namespace pixart::formats
