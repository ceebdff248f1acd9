// pixart_vqa MODEL [--other-size] < QUESTIONS: what BLIP-VQA answers to each line of QUESTIONS, {"image": FILE, "question":
// TEXT}, for scripts that compare us with other libraries: the probability of yes against no.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "pixart/base/error.h"
#include "pixart/score/vqa.h"

int main(int argc, char** argv) {
  const bool other_size = argc == 3 && std::string_view(argv[2]) == "--other-size";
  if (argc != 2 && !other_size)
    return std::fprintf(stderr, "usage: pixart_vqa MODEL [--other-size] < QUESTIONS\n"), 78;
  try {
    std::vector<pixart::score::VisualQuestion> questions;
    for (std::string line; std::getline(std::cin, line);) {
      const auto asked = nlohmann::json::parse(line);
      questions.push_back({.image = asked.at("image").get<std::string>(),
                           .question = asked.at("question").get<std::string>()});
    }
    const auto answer = pixart::score::load_blip_vqa(
        {.path = argv[1], .allow_other_size = other_size, .device = "cpu", .batch_size = 4});
    for (const double yes : answer(questions)) std::printf("%.9f\n", yes);
    return 0;
  } catch (const pixart::UserError& error) {
    std::fprintf(stderr, "error  %s\n", error.what());
    return int(error.code());
  }
}
