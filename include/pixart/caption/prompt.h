// What a vision-language model is asked.
#pragma once
#include <string>

namespace pixart::caption {

// The PixArt-alpha paper's (Figure 10), for pictures without and with a caption of their own; {caption}
// stands for that.
const std::string& paper_prompt();
const std::string& paper_prompt_with_caption();

bool uses_caption(const std::string& prompt);  // whether {caption} stands in it

// The prompt with each {caption} replaced. For a picture without a caption, the paper's second prompt becomes
// its first.
std::string fill_prompt(const std::string& prompt, const std::string& caption);

}  // namespace pixart::caption
