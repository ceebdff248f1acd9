#include "pixart/data/rejection.h"

#include <array>

#include "pixart/base/error.h"

namespace pixart::data {

namespace {

struct Name {
  Reason reason;
  std::string_view text;
};

constexpr std::array<Name, 21> kNames = {{{Reason::kMissingFile, "missing_file"},
                                          {Reason::kUnreadableFile, "unreadable_file"},
                                          {Reason::kEmptyFile, "empty_file"},
                                          {Reason::kNotAnImage, "not_a_picture"},
                                          {Reason::kUnsupportedImage, "unsupported_picture"},
                                          {Reason::kDamagedImage, "damaged_picture"},
                                          {Reason::kImageTooLarge, "picture_too_large"},
                                          {Reason::kMissingCaption, "missing_caption"},
                                          {Reason::kBadCaptionText, "bad_caption_text"},
                                          {Reason::kCaptionTooLong, "caption_too_long"},
                                          {Reason::kDuplicateKey, "duplicate_key"},
                                          {Reason::kBadRow, "bad_row"},
                                          {Reason::kMissingField, "missing_field"},
                                          {Reason::kPathOutside, "path_outside"},
                                          {Reason::kBadLabel, "bad_label"},
                                          {Reason::kDamagedArchive, "damaged_archive"},
                                          {Reason::kBadFeature, "bad_feature"},
                                          {Reason::kImageTooThin, "picture_too_thin"},
                                          {Reason::kScoreTooLow, "score_too_low"},
                                          {Reason::kScoreTooHigh, "score_too_high"},
                                          {Reason::kScoreMissing, "score_missing"}}};

}  // namespace

std::string_view to_string(Reason reason) {
  for (const auto& name : kNames)
    if (name.reason == reason) return name.text;
  PIXART_CHECK(false, "reason {} has no name", int(reason));
}

bool concerns_caption(Reason reason) {
  return reason == Reason::kMissingCaption || reason == Reason::kBadCaptionText ||
         reason == Reason::kCaptionTooLong;
}

bool concerns_scores(Reason reason) {
  return reason == Reason::kScoreTooLow || reason == Reason::kScoreTooHigh || reason == Reason::kScoreMissing;
}

const std::vector<Reason>& all_reasons() {
  static const std::vector<Reason> all = [] {
    std::vector<Reason> result;
    for (const auto& name : kNames) result.push_back(name.reason);
    return result;
  }();
  return all;
}

}  // namespace pixart::data
