// Keeps the key out of texts that an endpoint wrote.
#pragma once
#include <string>

namespace pixart::caption {

// Replaces the key by [key], also where its characters are escaped as in JSON (\/ and \u0073, with any number
// of backslashes), in addresses (%2F) or in HTML (&#47; and &amp;). Keys of fewer than 8 characters are not
// secret ("EMPTY") and could be words: they stay.
std::string without_key(const std::string& text, const std::string& key);

}  // namespace pixart::caption
