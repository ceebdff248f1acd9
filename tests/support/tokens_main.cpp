// pixart_tokens TOKENIZER < TEXTS: the token ids of each line of TEXTS, a text as JSON, for scripts that
// compare us with other libraries.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "pixart/base/error.h"
#include "pixart/text/tokenizer.h"

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: pixart_tokens TOKENIZER < TEXTS\n"), 78;
  try {
    const pixart::text::Tokenizer tokenizer(argv[1]);
    for (std::string line; std::getline(std::cin, line);)
      std::cout << nlohmann::json(tokenizer.encode(nlohmann::json::parse(line).get<std::string>())).dump()
                << '\n';
    return 0;
  } catch (const pixart::UserError& error) {
    std::fprintf(stderr, "error  %s\n", error.what());
    return int(error.code());
  }
}
