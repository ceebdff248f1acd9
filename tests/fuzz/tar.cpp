#include "pixart/formats/tar.h"

#include <algorithm>
#include <vector>

#include "fuzz.h"

namespace {

using namespace pixart;

// Whatever an index says, entries and faults lie in the file, in order, and no entry within another.
void check_index(const uint8_t* data, size_t size) {
  fuzz::accept_or_refuse([&] {
    const formats::TarFile file(fuzz::file_of(data, size));
    uint64_t end = 0;
    for (const auto& entry : file.index().entries) {
      if (entry.offset < end || entry.name.empty() || file.read(entry).size() != entry.bytes) std::abort();
      end = entry.offset + entry.bytes;
    }
    size_t before = 0;
    for (const auto& fault : file.index().faults) {
      const bool is_placed = fault.offset <= fault.end && fault.before >= before &&
                             fault.before <= file.index().entries.size() && fault.offset <= file.bytes();
      if (!is_placed || fault.reason.empty()) std::abort();
      before = fault.before;
    }
  });
}

// Gives every block with a header's magic its checksum, which chance would hardly ever find.
std::vector<uint8_t> with_checksums(const uint8_t* data, size_t size) {
  constexpr size_t kBlock = 512, kChecksum = 148, kChecksumBytes = 8, kMagic = 257;
  std::vector<uint8_t> mended(data, data + size);
  for (size_t at = 0; at + kBlock <= size; at += kBlock) {
    if (!fuzz::as_text(data + at + kMagic, kBlock - kMagic).starts_with("ustar")) continue;
    uint32_t sum = kChecksumBytes * ' ';
    for (size_t i = 0; i < kBlock; ++i)
      if (i < kChecksum || i >= kChecksum + kChecksumBytes) sum += data[at + i];
    const std::string text = fmt::format("{:06o}", sum) + std::string("\0 ", 2);
    std::copy(text.begin(), text.end(), mended.begin() + ptrdiff_t(at + kChecksum));
  }
  return mended;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check_index(data, size);
  const auto mended = with_checksums(data, size);
  check_index(mended.data(), mended.size());
  return 0;
}
