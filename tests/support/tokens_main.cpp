// pixart_tokens [--clip openai|hugging-face | --bert] TOKENIZER < TEXTS: the token ids of each line of TEXTS, a text as
// JSON, for scripts that compare us with other libraries. Without an option the tokenizer is T5's. Ids are not cut.
#include <cstdio>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/text/bert_tokenizer.h"
#include "pixart/text/clip_tokenizer.h"
#include "pixart/text/tokenizer.h"

namespace {

using Encode = std::function<std::vector<int64_t>(const std::string& text)>;

void print_ids(const Encode& encode) {
  for (std::string line; std::getline(std::cin, line);)
    std::cout << nlohmann::json(encode(nlohmann::json::parse(line).get<std::string>())).dump() << '\n';
}

void print_t5(const char* file) {
  const pixart::text::Tokenizer tokenizer(file);
  print_ids([&](const std::string& text) { return tokenizer.encode(text); });
}

void print_clip(const char* folder, std::string_view mode) {
  using pixart::text::ClipCleaning;
  const auto cleaning = mode == "openai" ? ClipCleaning::kOpenAi : ClipCleaning::kHuggingFace;
  const pixart::text::ClipTokenizer tokenizer(folder);
  print_ids([&](const std::string& text) { return tokenizer.encode(text, cleaning); });
}

void print_bert(const char* path) {
  const pixart::text::BertTokenizer tokenizer(path);
  print_ids([&](const std::string& text) { return tokenizer.encode(text); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 4 ? argv[2] : "";
  const bool is_clip = argc == 4 && std::string_view(argv[1]) == "--clip";
  const bool is_bert = argc == 3 && std::string_view(argv[1]) == "--bert";
  const bool is_right = argc == 2 || is_bert || (is_clip && (mode == "openai" || mode == "hugging-face"));
  if (!is_right)
    return std::fprintf(stderr,
                        "usage: pixart_tokens [--clip openai|hugging-face | --bert] TOKENIZER < TEXTS\n"),
           78;
  try {
    if (is_bert)
      print_bert(argv[2]);
    else
      is_clip ? print_clip(argv[3], mode) : print_t5(argv[1]);
    return 0;
  } catch (const pixart::UserError& error) {
    std::fprintf(stderr, "error  %s\n", error.what());
    return int(error.code());
  }
}
