#pragma once
#include <cstdint>
#include <string_view>

namespace pixart::formats {

// The Castagnoli checksum (RFC 3720, appendix B.4): that of TFRecord files, not zlib's.
uint32_t crc32c(std::string_view bytes);

}  // namespace pixart::formats
