// Prompts for a vision-language model.
#pragma once
#include <string>

namespace pixart::caption {

// The prompts of the PixArt-alpha paper (Figure 10), for images without and with a caption of their own;
// {caption} means that caption.
const std::string& paper_prompt();
const std::string& paper_prompt_with_caption();

bool uses_caption(const std::string& prompt);  // whether it contains {caption}

// Replaces each {caption} of the prompt. For an image without a caption, the paper's second prompt becomes
// its first one.
std::string fill_prompt(const std::string& prompt, const std::string& caption);

}  // namespace pixart::caption
