// Secrets: bytes that nobody can guess, and proofs that somebody knows a secret without saying it.
#pragma once
#include <string>
#include <string_view>

namespace pixart {

std::string random_bytes(size_t count);  // from the kernel, for secrets; random.h has those of training
// 32 bytes that only somebody who knows `key` can compute (RFC 2104 with SHA-256).
std::string hmac_sha256(std::string_view key, std::string_view message);
bool equal_secrets(std::string_view a, std::string_view b);  // takes as long wherever they differ

}  // namespace pixart
