#include "weight_index.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pixart;
  fuzz::accept_or_refuse([&] { formats::parse_weight_index(fuzz::as_text(data, size), "input"); });
  return 0;
}
