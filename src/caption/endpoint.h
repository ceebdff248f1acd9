// Checks the address of an endpoint, and the key that is sent there.
#pragma once
#include <string>

namespace pixart::caption {

// <endpoint>/chat/completions. Throws UserError for a text that is not a plain http or https address, and for
// an address with a user, password or query, which may hold keys.
std::string request_url(const std::string& endpoint);

bool is_this_machine(const std::string& url);  // by its name: localhost, 127.0.0.1, [::1]

// Throws UserError (without the key) for a key that is not header text, or that would be sent unencrypted to
// another machine.
void check_key(const std::string& key, const std::string& url, bool insecure);

}  // namespace pixart::caption
