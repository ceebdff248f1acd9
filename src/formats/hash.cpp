#include "pixart/formats/hash.h"

#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/machine_fault.h"

namespace pixart::formats {

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  PIXART_CHECK(EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::add(std::string_view bytes) {
  PIXART_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  PIXART_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest, &size) == 1);
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}

std::string sha256_of_file(const std::filesystem::path& path,
                           const std::function<void(uint64_t)>& after_piece) {
  require_no_pipe(path);
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    check_machine(path, errno);
    throw UserError(fmt::format("cannot read {}: {}.", path.string(), std::strerror(errno)));
  }
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  while (stream.read(buffer.data(), std::streamsize(buffer.size())) || stream.gcount() > 0) {
    hash.add({buffer.data(), size_t(stream.gcount())});
    if (after_piece) after_piece(uint64_t(stream.gcount()));
  }
  if (stream.bad())
    throw UserError(fmt::format("cannot read {}: input error.", path.string()), ExitCode::kStorage);
  return hash.hex();
}

}  // namespace pixart::formats
