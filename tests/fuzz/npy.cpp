#include "pixart/formats/npy.h"

#include "fuzz.h"

// The input is taken as a single array or as an archive by its first bytes, as np.load does.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pixart;
  const auto path = fuzz::file_of(data, size);
  fuzz::accept_or_refuse([&] {
    if (fuzz::as_text(data, size).starts_with("PK"))
      formats::load_npz(path);
    else
      formats::load_npy(path);
  });
  return 0;
}
