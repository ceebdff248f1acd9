// How a server is asked for a file.
#pragma once
#include <string>

#include "pixart/data/web_address.h"

namespace pixart::data {

struct WebRequest {
  std::string url;           // http or https, with a signature if it has one; never part of a message
  std::string shown;         // shown_address()
  std::string signing = {};  // CURLOPT_AWS_SIGV4; "": the request is not signed
  std::string keys = {};     // "ID:SECRET" for the signature
  std::string token = {};    // of temporary keys
  bool is_local = false;     // the server is on this machine: no proxy
  bool is_s3 = false;
};

// s3://BUCKET/KEY becomes a path-style address of AWS_ENDPOINT_URL (or of Amazon's servers in AWS_REGION), signed
// with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN where they are set. Throws UserError for an
// address of another scheme, without a host or a file, or with a user.
WebRequest request_for(const std::string& address);

}  // namespace pixart::data
