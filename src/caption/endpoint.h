// The address of an endpoint, and what may be sent there.
#pragma once
#include <string>

namespace pixart::caption {

// <endpoint>/chat/completions. Throws UserError for what is no plain http or https address: also for one
// with a user, password or query, which would hold keys.
std::string request_url(const std::string& endpoint);

bool is_this_machine(const std::string& url);  // by its name: localhost, 127.0.0.1, [::1]

// Throws UserError (without the key) for a key that is no header text, or that would be readable on the way.
void check_key(const std::string& key, const std::string& url, bool insecure);

}  // namespace pixart::caption
