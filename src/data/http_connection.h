// One request for a part of a file, by libcurl.
#pragma once
#include <curl/curl.h>

#include <cstdint>
#include <optional>
#include <string>

#include "http_answer.h"
#include "http_get.h"
#include "web_request.h"

namespace pixart::data {

// A part that is asked for, and what has come of it.
struct Transfer {
  const HttpLimits& limits;
  uint64_t offset, count;
  char* to;
  AnswerHead head = {};
  uint64_t got = 0;
  std::string refusal = {};  // begin of the body of another answer
  bool is_misfit = false;    // the answer is not the range that was asked for
  bool is_stalled = false;
  double window_began = 0;
  uint64_t got_before_window = 0;

  // The range of the answer if it is the one that was asked for.
  std::optional<ContentRange> range() const;
};

// Sends the request on the connection of this thread, which stays open for the next one, and takes the answer.
CURLcode send_range(const WebRequest& request, Transfer& transfer);

}  // namespace pixart::data
