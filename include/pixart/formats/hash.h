// SHA-256 (OpenSSL) of bytes and files, as lower-case hex.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace pixart::formats {
std::string sha256(std::string_view bytes);
std::string sha256_of_file(const std::filesystem::path& path);
}  // namespace pixart::formats
