// When a server wants to be asked again.
#pragma once
#include <optional>
#include <string>

namespace pixart::data {

// The seconds of a Retry-After header: a number, or an HTTP date that is compared with `date`, the reply's
// own Date header (or, without it, with this machine's clock). Nothing for another text.
std::optional<double> retry_after_seconds(const std::string& header, const std::string& date);

}  // namespace pixart::data
