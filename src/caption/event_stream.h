// Answers of servers that always stream: lines "data: {...}" (server-sent events).
#pragma once
#include <string>

namespace pixart::caption {

bool is_event_stream(const std::string& body);

// The events of a stream as one answer of the chat interface: the pieces of its text joined, and the last
// reason to finish, usage, model and error. A stream that ended before its reason to finish or [DONE] gives a
// text that is not JSON.
std::string answer_of_stream(const std::string& body);

}  // namespace pixart::caption
