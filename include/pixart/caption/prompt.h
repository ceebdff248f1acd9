// What a vision-language model is asked.
#pragma once
#include <string>

namespace pixart::caption {

// The PixArt-alpha paper's (Figure 10), for pictures without and with a caption of their own; {caption}
// stands for that.
const std::string& paper_prompt();
const std::string& paper_prompt_with_caption();

// The prompt with {caption} replaced.
std::string fill_prompt(const std::string& prompt, const std::string& caption);

}  // namespace pixart::caption
