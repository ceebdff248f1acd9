#include "pixart/data/dataset.h"

#include "pixart/base/error.h"
#include "pixart/formats/hash.h"

namespace pixart::data {

namespace {

Reason reason_of(formats::ImageFault fault) {
  switch (fault) {
    case formats::ImageFault::kEmpty:
      return Reason::kEmptyFile;
    case formats::ImageFault::kNotAnImage:
      return Reason::kNotAnImage;
    case formats::ImageFault::kUnsupported:
      return Reason::kUnsupportedImage;
    case formats::ImageFault::kDamaged:
      return Reason::kDamagedImage;
    case formats::ImageFault::kTooLarge:
      return Reason::kImageTooLarge;
    case formats::ImageFault::kUnreadable:
      return Reason::kUnreadableFile;
  }
  PIXART_CHECK(false, "image fault {}", int(fault));
}

}  // namespace

formats::ReducedImage Dataset::reduced_image(int64_t index, int least_side) const {
  const std::string encoded = bytes(index);
  const std::string key = row(index).key;
  try {
    return formats::decode_reduced(encoded, key, least_side);
  } catch (const formats::ImageError& error) {
    throw BadSample(
        {.row = index, .key = key, .offset = 0, .reason = reason_of(error.fault()), .detail = error.what()});
  }
}

std::vector<bool> rows_without_captions(const Dataset& dataset) {
  std::vector<bool> result(static_cast<size_t>(dataset.size()));
  for (const auto& rejection : dataset.rejected()) {
    const Row row = dataset.row(rejection.row);
    result[size_t(rejection.row)] =
        concerns_caption(rejection.reason) || (row.captions.empty() && row.caption_file.empty());
  }
  return result;
}

std::string captions_fingerprint(const Dataset& dataset) {
  formats::Sha256 hash;
  const auto lacks = rows_without_captions(dataset);
  for (int64_t index = 0; index < dataset.size(); ++index) {
    const Row row = dataset.row(index);
    hash.add(fmt::format("{}{}\n{}\n", row.captions.size(), lacks[size_t(index)] ? " none" : "",
                         row.caption_file.string()));
    for (const auto& caption : row.captions) hash.add(fmt::format("{}={}\n", caption.name, caption.text));
  }
  return hash.hex();
}

std::string Dataset::caption(int64_t index) const {
  const Row sample = row(index);
  return sample.captions.empty() ? std::string() : sample.captions.front().text;
}

}  // namespace pixart::data
