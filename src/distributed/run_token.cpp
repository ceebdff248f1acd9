#include "run_token.h"

#include <fmt/format.h>

#include "pixart/base/base64.h"
#include "pixart/base/secret.h"

namespace pixart::distributed {

std::string new_run_token() { return to_base64(random_bytes(32)); }

std::string derived_token(const ReadVariable& read, std::initializer_list<const char*> job, int port) {
  std::string text = fmt::format("MASTER_PORT={}", port);
  for (const char* name : job) text += fmt::format(" {}={}", name, read(name).value_or(""));
  return text;
}

}  // namespace pixart::distributed
