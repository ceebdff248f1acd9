#include "endpoint.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "pixart/base/error.h"

namespace pixart::caption {

namespace {

using Url = std::unique_ptr<CURLU, void (*)(CURLU*)>;

Url parse(const std::string& text) {
  Url url(curl_url(), curl_url_cleanup);
  PIXART_CHECK(url != nullptr, "curl_url");
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
    return {nullptr, curl_url_cleanup};
  return url;
}

std::string part(const Url& url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) return {};
  const std::unique_ptr<char, void (*)(void*)> owner(text, curl_free);
  return text;
}

}  // namespace

std::string request_url(const std::string& endpoint) {
  const Url url = parse(endpoint);
  const std::string scheme = url == nullptr ? "" : part(url, CURLUPART_SCHEME);
  if (url != nullptr &&
      !part(url, CURLUPART_USER).empty())  // the message does not repeat it: it may hold a key
    throw UserError(
        "--endpoint: the address holds a user or key. Name the address alone; the key is taken from the "
        "environment variable that --key-env names.");
  if (url != nullptr && (!part(url, CURLUPART_QUERY).empty() || !part(url, CURLUPART_FRAGMENT).empty()))
    throw UserError("--endpoint: the address must not contain '?' or '#', e.g. http://localhost:8080/v1.");
  if (scheme != "http" && scheme != "https")
    throw UserError(fmt::format(
        "--endpoint {}: it is not an http or https address, e.g. http://localhost:8080/v1.", endpoint));
  constexpr std::string_view kPath = "/chat/completions";
  std::string text = part(url, CURLUPART_URL);
  while (text.ends_with('/')) text.pop_back();
  return text.ends_with(kPath) ? text : text + std::string(kPath);
}

bool is_this_machine(const std::string& url) {
  const Url parsed = parse(url);
  const std::string host = parsed == nullptr ? "" : part(parsed, CURLUPART_HOST);
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

void check_key(const std::string& key, const std::string& url, bool insecure) {
  if (std::any_of(key.begin(), key.end(), [](char c) { return c <= ' ' || c == 0x7F; }))
    throw UserError(
        "the key in the environment variable that --key-env names has blanks, line ends or characters beyond "
        "ASCII; an endpoint would not accept it.");
  if (!key.empty() && url.starts_with("http://") && !is_this_machine(url) && !insecure)
    throw UserError(
        fmt::format("--endpoint: the key would go to {} over http, readable on the way. Use https, unset "
                    "the variable that --key-env names, or give --insecure in a network that you trust.",
                    url));
}

}  // namespace pixart::caption
