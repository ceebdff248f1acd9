#include "web_request.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"

namespace pixart::data {

namespace {

constexpr std::string_view kS3 = "s3://";

// Parameters of presigned addresses: of S3, Google and CloudFront; those of Azure come with sig=.
constexpr std::array<std::string_view, 8> kSigning = {"signature", "expires",        "key-pair-id",
                                                      "policy",    "awsaccesskeyid", "googleaccessid",
                                                      "token",     "access_token"};
constexpr std::array<std::string_view, 16> kAzure = {"sig", "se",  "sp",  "sv",    "sr",    "st",
                                                     "spr", "sip", "ss",  "skoid", "sktid", "skt",
                                                     "ske", "sks", "skv", "srt"};

template <size_t count>
bool has(const std::array<std::string_view, count>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The parameters that do not sign, in their order.
std::string meaning_of(const std::string& query) {
  const bool is_azure = ("&" + query).find("&sig=") != std::string::npos;
  std::string rest;
  for (size_t begin = 0; begin <= query.size();) {
    const size_t end = std::min(query.find('&', begin), query.size());
    const std::string parameter = query.substr(begin, end - begin);
    const std::string name = ascii_lower(parameter.substr(0, parameter.find('=')));
    const bool is_signing = name.starts_with("x-amz-") || name.starts_with("x-goog-") ||
                            has(kSigning, name) || (is_azure && has(kAzure, name));
    if (!parameter.empty() && !is_signing) rest += parameter + "&";
    begin = end + 1;
  }
  return rest;
}

std::string_view scheme_of(std::string_view text) {
  const size_t end = text.find("://");
  const auto scheme = text.substr(0, end);
  const bool is_word =
      end != std::string_view::npos && end > 1 && std::all_of(scheme.begin(), scheme.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+';
      });
  return is_word ? scheme : std::string_view();
}

using Url = std::unique_ptr<CURLU, void (*)(CURLU*)>;

std::string part(const Url& url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) return {};
  const std::unique_ptr<char, void (*)(void*)> owner(text, curl_free);
  return text;
}

void check_parts(const std::string& address, const Url& url) {
  const std::string shown = shown_address(address);
  if (!part(url, CURLUPART_USER).empty())
    throw UserError(shown +
                    ": the address holds a user. Use presigned addresses, or s3:// with keys in the "
                    "environment.");
  if (part(url, CURLUPART_PATH).ends_with('/'))
    throw UserError(shown +
                    ": the address of a folder. A server does not list its files: name them, e.g. "
                    "https://HOST/sam-{000000..000127}.tar, or write a .txt file with one address a line.");
}

WebRequest plain_request(const std::string& address) {
  const std::string shown = shown_address(address);
  const Url url(curl_url(), curl_url_cleanup);
  PIXART_CHECK(url != nullptr, "curl_url");
  if (curl_url_set(url.get(), CURLUPART_URL, address.c_str(), 0) != CURLUE_OK)
    throw UserError(shown + " is not an address: blanks and the like are written as %20.");
  check_parts(address, url);
  curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
  const std::string host = part(url, CURLUPART_HOST);
  return {.url = part(url, CURLUPART_URL),
          .shown = shown,
          .is_local = host == "localhost" || host == "127.0.0.1" || host == "[::1]"};
}

// A key as it is in the path of an address (and in its signature).
std::string encoded(std::string_view key) {
  std::string result;
  for (const char c : key) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          std::string_view("-._~/").find(c) != std::string_view::npos;
    result += is_plain ? std::string(1, c) : fmt::format("%{:02X}", uint8_t(c));
  }
  return result;
}

std::string variable(const char* name) { return environment_variable(name).value_or(""); }

WebRequest s3_request(const std::string& address) {
  const std::string_view rest = std::string_view(address).substr(kS3.size());
  const size_t slash = rest.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == rest.size())
    throw UserError(address + ": an address of S3 has a bucket and a key: s3://BUCKET/KEY.");
  std::string region = variable("AWS_REGION");
  if (region.empty()) region = variable("AWS_DEFAULT_REGION");
  if (region.empty()) region = "us-east-1";
  std::string server = variable("AWS_ENDPOINT_URL");
  if (server.empty()) server = fmt::format("https://s3.{}.amazonaws.com", region);
  while (server.ends_with('/')) server.pop_back();
  if (!server.starts_with("https://") && !server.starts_with("http://"))
    throw UserError("AWS_ENDPOINT_URL is not an http or https address.");
  WebRequest request = plain_request(server + "/" + encoded(rest));
  request.shown = address, request.is_s3 = true;
  const std::string id = variable("AWS_ACCESS_KEY_ID"), secret = variable("AWS_SECRET_ACCESS_KEY");
  if (id.empty() != secret.empty())
    throw UserError(
        "Only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set; s3:// needs both, or none "
        "for a public bucket.");
  if (id.empty()) return request;
  request.signing = fmt::format("aws:amz:{}:s3", region);
  request.keys = id + ":" + secret, request.token = variable("AWS_SESSION_TOKEN");
  return request;
}

}  // namespace

bool is_address(std::string_view text) { return !scheme_of(text).empty(); }

std::string shown_address(const std::string& address) {
  if (!is_address(address) || address.starts_with(kS3)) return address;  // keys of S3 may have any character
  std::string text = address.substr(0, address.find('#'));
  const size_t query = text.find('?');
  const std::string meaning = query == std::string::npos ? "" : meaning_of(text.substr(query + 1));
  text = text.substr(0, query);
  const size_t host = text.find("://") + 3, end = std::min(text.find('/', host), text.size());
  const size_t user = text.substr(0, end).rfind('@');
  if (user != std::string::npos && user >= host) text.erase(host, user + 1 - host);
  return meaning.empty() ? text : text + "?" + formats::sha256(meaning).substr(0, 8);
}

WebRequest request_for(const std::string& address) {
  const std::string scheme(scheme_of(address));
  if (address.starts_with(kS3)) return s3_request(address);
  if (scheme == "http" || scheme == "https") return plain_request(address);
  throw UserError(shown_address(address) +
                  ": addresses begin with https://, http:// or s3://. Google's buckets are read with "
                  "s3:// and AWS_ENDPOINT_URL=https://storage.googleapis.com.");
}

}  // namespace pixart::data
