#include "fuzz.h"
#include "pixart/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pixart;
  fuzz::accept_or_refuse(
      [&] { formats::parse_safetensors_header(fuzz::as_text(data, size), size, "input"); });
  return 0;
}
