// Reads a part of a file from a server, with retries.
#pragma once
#include <cstdint>
#include <string>

#include "pixart/base/error.h"
#include "web_request.h"

namespace pixart::data {

struct HttpLimits {
  double patience_seconds = 300;  // how long a request may fail until the reader gives up
  double stall_seconds = 30;      // a transfer that brings less than 1 KiB a second for so long has failed
  double connect_seconds = 20;
  double first_pause_seconds = 0.5;  // before the first retry; doubles, with jitter
  double longest_pause_seconds = 30;
};

// With a patience of PIXART_HTTP_PATIENCE seconds if this variable is set; the other limits are parts of it.
HttpLimits http_limits();
HttpLimits http_limits(double patience_seconds);

// What a server says about a file. `validator`: its ETag, or when it was modified; "" if it says neither.
struct FileIdentity {
  uint64_t bytes = 0;
  std::string validator = {};
  bool operator==(const FileIdentity&) const = default;
};

// Why a part was not read, after all retries. The message is whole: the address, what is wrong, what to do.
class HttpFault : public UserError {
 public:
  enum class Kind {
    kMissing,    // 404, 410
    kRefused,    // 401, 403, 407 and other answers that a retry does not change; certificates
    kUnusable,   // no ranges, or answers that do not fit the request
    kChanged,    // the file is not the one that it was
    kNoAnswer,   // no good answer for as long as the patience
    kStopped,    // the process was asked to stop while it waited
    kComeLater,  // the server asks for a longer pause than the patience
  };
  HttpFault(Kind kind, const std::string& message) : UserError(message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

// What the server says of the file, from a request for its first byte: presigned addresses allow no HEAD.
FileIdentity ask_identity(const WebRequest& request, const HttpLimits& limits);

// Reads `count` > 0 bytes from `offset`. Every answer is compared with `known`, which the server said before.
void get_range(const WebRequest& request, const FileIdentity& known, uint64_t offset, uint64_t count,
               char* to, const HttpLimits& limits);

}  // namespace pixart::data
