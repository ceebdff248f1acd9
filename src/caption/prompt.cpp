#include "pixart/caption/prompt.h"

namespace pixart::caption {

namespace {
const std::string kPlace = "{caption}";
}  // namespace

const std::string& paper_prompt() {
  static const std::string text = "Describe this image and its style in a very detailed manner";
  return text;
}

const std::string& paper_prompt_with_caption() {
  static const std::string text = "Given the caption of this image '" + kPlace +
                                  "', describe this image and its style in a very detailed manner";
  return text;
}

std::string fill_prompt(const std::string& prompt, const std::string& caption) {
  std::string result = prompt;
  const size_t at = result.find(kPlace);
  if (at != std::string::npos) result.replace(at, kPlace.size(), caption);
  return result;
}

}  // namespace pixart::caption
