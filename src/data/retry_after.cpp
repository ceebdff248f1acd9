#include "pixart/data/retry_after.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::data {

namespace {

// The time of this machine's clock.
time_t unix_time_now() {
  std::tm time{};
  const std::string text = utc_time_now();
  PIXART_CHECK(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time) != nullptr, "{}", text);
  return timegm(&time);
}

}  // namespace

std::optional<double> retry_after_seconds(const std::string& header, const std::string& date) {
  const std::string text = trimmed(header);
  const char* end_of_text = text.data() + text.size();
  double seconds = 0;  // some endpoints give fractions
  const auto [end, error] = std::from_chars(text.data(), end_of_text, seconds);
  if (!text.empty() && error == std::errc() && end == end_of_text)
    return std::isfinite(seconds) && seconds >= 0 ? std::optional(seconds) : std::nullopt;
  const time_t until = text.empty() ? -1 : curl_getdate(text.c_str(), nullptr);
  if (until < 0) return std::nullopt;
  const time_t theirs = curl_getdate(date.c_str(), nullptr);
  return std::max(0.0, double(until - (theirs < 0 ? unix_time_now() : theirs)));
}

}  // namespace pixart::data
