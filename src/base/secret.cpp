#include "pixart/base/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <cerrno>

#include "pixart/base/error.h"

namespace pixart {

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t done = 0; done < count;) {
    const ssize_t n = ::getrandom(bytes.data() + done, count - done, 0);
    PIXART_CHECK(n > 0 || errno == EINTR, "getrandom: error {}", errno);
    if (n > 0) done += size_t(n);
  }
  return bytes;
}

std::string hmac_sha256(std::string_view key, std::string_view message) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  PIXART_CHECK(HMAC(EVP_sha256(), key.data(), int(key.size()),
                    reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest,
                    &size) != nullptr);
  return {reinterpret_cast<const char*>(digest), size};
}

bool equal_secrets(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace pixart
