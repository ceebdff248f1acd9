#include "prompt.h"

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

bool uses_caption(const std::string& prompt) { return prompt.find(kPlace) != std::string::npos; }

std::string fill_prompt(const std::string& prompt, const std::string& caption) {
  if (caption.empty() && prompt == paper_prompt_with_caption()) return paper_prompt();
  std::string result;
  size_t begin = 0;
  for (size_t at; (at = prompt.find(kPlace, begin)) != std::string::npos; begin = at + kPlace.size())
    result += prompt.substr(begin, at - begin) + caption;
  return result + prompt.substr(begin);
}

}  // namespace pixart::caption
