// Sentences of an endpoint inside messages of this program.
#pragma once
#include <string>
#include <string_view>

namespace pixart::caption {

// A text of others, then a sentence of ours: "HTTP 400, no images" + "Try again." gives
// "HTTP 400, no images. Try again." A text that ends a sentence gets no second full stop.
std::string followed_by(std::string_view text, std::string_view sentence);

}  // namespace pixart::caption
