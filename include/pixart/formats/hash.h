// SHA-256 (OpenSSL) of bytes and files, as lower-case hex.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace pixart::formats {

// SHA-256 of bytes that arrive in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(std::string_view bytes);
  std::string hex();  // once, at the end

 private:
  void* context_;
};

std::string sha256(std::string_view bytes);
// `after_piece` is called after each piece of at most a mebibyte, with its size; it may throw.
std::string sha256_of_file(const std::filesystem::path& path,
                           const std::function<void(uint64_t bytes)>& after_piece = {});
}  // namespace pixart::formats
