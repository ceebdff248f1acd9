#include "pickle.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pixart;
  fuzz::accept_or_refuse([&] {
    const formats::InputFile file(fuzz::file_of(data, size));
    formats::PickleBytes bytes(file, 0, file.bytes());
    formats::read_pickle(bytes, /*with_storages=*/true);
  });
  return 0;
}
