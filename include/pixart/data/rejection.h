// Samples that cannot be used, and why. A source lists every row. A fault of a row is recorded as a
// Rejection; the row is never dropped: accepted + rejected = listed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/error.h"

namespace pixart::data {

// Why a sample is not used. Quarantine files contain the names of to_string(): append, never rename.
enum class Reason {
  kMissingFile,       // the image that a row names does not exist
  kUnreadableFile,    // no permission, I/O error, not a regular file
  kEmptyFile,         // no bytes
  kNotAnImage,        // of none of the kinds that formats::decode_image() reads
  kUnsupportedImage,  // an image format that is not supported: animation, arithmetic coding, ...
  kDamagedImage,      // cut off, wrong checksum, or a fault that the decoder found
  kImageTooLarge,     // beyond the limits of formats::DecodeLimits
  kMissingCaption,    // no caption, or only white space
  kBadCaptionText,    // not UTF-8, or with control characters
  kCaptionTooLong,    // more than 1 MiB
  kDuplicateKey,      // a second sample with the same key
  kBadRow,            // a line or entry of the listing that cannot be read
  kMissingField,      // a row without a field that the source needs
  kPathOutside,       // a row names a file outside the source's folder
  kBadLabel,          // a class that does not exist
  kDamagedArchive,    // the part of a tar file that holds the sample is damaged or cut off
  kBadFeature,        // a stored feature file that is damaged, has another shape, or is not finite
  kImageTooThin,      // too long and narrow to be resized to the resolution of a stage
  kScoreTooLow,       // below a limit of the source's scores
  kScoreTooHigh,      // above one
  kScoreMissing,      // the file of scores says nothing about the sample
};
std::string_view to_string(Reason reason);  // "missing_file", ...
const std::vector<Reason>& all_reasons();
bool concerns_caption(Reason reason);  // and not the image
bool concerns_scores(Reason reason);   // nothing is wrong with the sample

struct Rejection {
  int64_t row = 0;
  std::string key = {};  // of the sample; if it has none, its name in the listing, e.g. "line 12"
  uint64_t offset = 0;   // byte in the file that lists or holds the sample; 0 if it is a file of its own
  Reason reason{};
  std::string detail = {};  // a sentence
};

// The source is not what was listed. Its rows are not bad: the next start lists it anew.
class SourceChanged : public UserError {
 public:
  using UserError::UserError;
};

// Thrown by Dataset::bytes(), image() and on_sample() if one sample is bad and the others are not.
class BadSample : public std::runtime_error {
 public:
  explicit BadSample(Rejection rejection)
      : std::runtime_error(rejection.detail.starts_with(rejection.key)
                               ? rejection.detail
                               : rejection.key + ": " + rejection.detail),
        rejection_(std::move(rejection)) {}
  const Rejection& rejection() const { return rejection_; }

 private:
  Rejection rejection_;
};

}  // namespace pixart::data
