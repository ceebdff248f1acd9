// pixart_tokens [--clip openai|hugging-face | --bert] TOKENIZER < TEXTS: the token ids of each line of TEXTS, a text as
// JSON, for scripts that compare us with other libraries. Without an option the tokenizer is T5's. Ids are not cut.
//
// pixart_tokens --tagger PIPELINE < TEXTS: the words of each text by the folder of a spaCy pipeline, each with its tag, its part
// of speech and its place in bytes.
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
#include "pixart/text/spacy_tagger.h"
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

void print_words(const char* folder) {
  const pixart::text::SpacyTagger tagger(folder);
  for (std::string line; std::getline(std::cin, line);) {
    auto row = nlohmann::json::array();
    for (const auto& word : tagger.words(nlohmann::json::parse(line).get<std::string>()))
      row.push_back({word.text, word.tag, word.part, word.begin});
    std::cout << row.dump() << '\n';
  }
}

// False if the arguments are wrong.
bool print_all(int argc, char** argv) {
  const std::string_view option = argc > 2 ? argv[1] : "", mode = argc == 4 ? argv[2] : "";
  if (argc == 2)
    print_t5(argv[1]);
  else if (argc == 3 && option == "--bert")
    print_bert(argv[2]);
  else if (argc == 3 && option == "--tagger")
    print_words(argv[2]);
  else if (option == "--clip" && (mode == "openai" || mode == "hugging-face"))
    print_clip(argv[3], mode);
  else
    return false;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (print_all(argc, argv)) return 0;
    std::fprintf(stderr,
                 "usage: pixart_tokens [--clip openai|hugging-face | --bert | --tagger] TOKENIZER < TEXTS\n");
    return 78;
  } catch (const pixart::UserError& error) {
    std::fprintf(stderr, "error  %s\n", error.what());
    return int(error.code());
  }
}
