#include "fuzz.h"
#include "zip_archive.h"
#include "zip_record.h"

// Each program's archives, and the contents of their small records.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pixart;
  constexpr uint64_t kSmall = 1 << 20;
  const formats::InputFile file(fuzz::file_of(data, size));
  for (const auto& rules : {formats::kTorchZip, formats::kNumpyZip}) {
    fuzz::accept_or_refuse([&] {
      for (const auto& [name, record] : formats::read_zip_directory(file, rules)) {
        if (record.bytes > kSmall) continue;
        std::string content(size_t(record.bytes), '\0');
        fuzz::accept_or_refuse([&] { formats::read_record(file, record, content.data()); });
      }
    });
  }
  return 0;
}
