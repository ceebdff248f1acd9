#include "process_options.h"

#include "pixart/base/enum_words.h"

namespace pixart::tools {

void add_process_options(CLI::App& command, convert::ChosenProcess& chosen, const std::string& need) {
  command
      .add_option_function<std::string>(
          "--prediction",
          [&chosen](const std::string& word) {
            chosen.prediction = enum_of_word<diffusion::Prediction>(word, "prediction");
          },
          "what the model predicts, if its files do not say it" + need + "; the published models: epsilon")
      ->check(CLI::IsMember(words_of_enum<diffusion::Prediction>()));
  command.add_flag("--zero-terminal-snr", chosen.zero_terminal_snr,
                   "the model was trained with zero terminal SNR (v, x_start), if its files do not say it");
  command
      .add_option_function<double>(
          "--shift", [&chosen](double shift) { chosen.shift = shift; },
          "shift of a flow model's noise levels (default: that of its training)")
      ->check(CLI::Range(0.01, 100.0));
}

}  // namespace pixart::tools
