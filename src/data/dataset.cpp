#include "pixart/data/dataset.h"

#include "pixart/base/error.h"

namespace pixart::data {

namespace {

Reason reason_of(formats::ImageFault fault) {
  switch (fault) {
    case formats::ImageFault::kEmpty:
      return Reason::kEmptyFile;
    case formats::ImageFault::kNotAPicture:
      return Reason::kNotAPicture;
    case formats::ImageFault::kUnsupported:
      return Reason::kUnsupportedPicture;
    case formats::ImageFault::kDamaged:
      return Reason::kDamagedPicture;
    case formats::ImageFault::kTooLarge:
      return Reason::kPictureTooLarge;
    case formats::ImageFault::kUnreadable:
      return Reason::kUnreadableFile;
  }
  PIXART_CHECK(false, "image fault {}", int(fault));
}

}  // namespace

Image Dataset::picture(int64_t index) const {
  const std::string encoded = bytes(index);
  const std::string key = row(index).key;
  try {
    return formats::decode_image(encoded, key);
  } catch (const formats::ImageError& error) {
    throw BadSample(
        {.row = index, .key = key, .offset = 0, .reason = reason_of(error.fault()), .detail = error.what()});
  }
}

std::string Dataset::caption(int64_t index) const {
  const Row sample = row(index);
  return sample.captions.empty() ? std::string() : sample.captions.front().text;
}

}  // namespace pixart::data
