// Samples that cannot be used, and why. A source lists every row; what is wrong with one is a Rejection,
// never a row that is missing: accepted + rejected = listed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::data {

// Why a sample is not used. The names of to_string() stand in quarantine files: append, never rename.
enum class Reason {
  kMissingFile,         // the picture that a row names does not exist
  kUnreadableFile,      // no permission, I/O error, not a regular file
  kEmptyFile,           // no bytes
  kNotAPicture,         // neither JPEG nor PNG nor WebP
  kUnsupportedPicture,  // a picture of a kind that is not taken: animation, arithmetic coding, ...
  kDamagedPicture,      // cut off, wrong checksum, a warning of the decoder
  kPictureTooLarge,     // beyond the limits of formats::DecodeLimits
  kMissingCaption,      // none, or nothing but white space
  kBadCaptionText,      // no UTF-8, control characters
  kCaptionTooLong,      // more than 1 MiB
  kDuplicateKey,        // a second sample of the same key
  kBadRow,              // a line or entry of the listing that cannot be read
  kMissingField,        // a row without a field that the source needs
  kPathOutside,         // a row names a file outside of the source's folder
  kBadLabel,            // a class that does not exist
  kDamagedArchive,      // the part of a tar file that holds the sample is damaged or cut off
  kBadFeature,          // a stored feature file that is damaged, of another shape, or not finite
};
std::string_view to_string(Reason reason);  // "missing_file", ...
const std::vector<Reason>& all_reasons();
bool concerns_caption(Reason reason);  // and not the picture

struct Rejection {
  int64_t row = 0;
  std::string key = {};  // of the sample; where it has none: what the listing calls it, e.g. "line 12"
  uint64_t offset = 0;   // into the file that lists or holds it (byte), 0 where it is a file of its own
  Reason reason{};
  std::string detail = {};  // a sentence
};

// Thrown by Dataset::bytes() and picture() where one sample is bad and the rest are not.
class BadSample : public std::runtime_error {
 public:
  explicit BadSample(Rejection rejection)
      : std::runtime_error(rejection.key + ": " + rejection.detail), rejection_(std::move(rejection)) {}
  const Rejection& rejection() const { return rejection_; }

 private:
  Rejection rejection_;
};

}  // namespace pixart::data
