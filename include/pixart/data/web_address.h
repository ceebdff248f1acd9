// Addresses of files on servers: http://, https:// and s3://.
#pragma once
#include <string>
#include <string_view>

namespace pixart::data {

bool is_address(std::string_view text);  // SCHEME://..., also of a scheme that is not supported

// What messages, the ledger and the cache call the file: the address without user, fragment and signature
// (X-Amz-..., sig=... and the like). What is left of the query may hold a secret too: of it there is a hash.
// Another text stays as it is.
std::string shown_address(const std::string& address);

}  // namespace pixart::data
