// What the ranks of a run know and strangers do not.
#pragma once
#include <initializer_list>
#include <string>

#include "pixart/distributed/launch_variables.h"

namespace pixart::distributed {

inline constexpr const char* kTokenVariable = "PIXART_RUN_TOKEN";
inline constexpr size_t kFewestTokenBytes = 16;

std::string new_run_token();  // 256 random bits, printable

// Without a token: made of these variables of the job, and of the port where the ranks meet. All ranks have
// the same, but somebody else may know or guess them.
std::string derived_token(const ReadVariable& read, std::initializer_list<const char*> job, int port);

}  // namespace pixart::distributed
