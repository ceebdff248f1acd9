// The objectives of run files: one row each. What differs between them is said here; nobody else compares
// their names.
#pragma once
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"

namespace pixart::train {

// Where the weights of a stage start.
enum class InitHow { kRandom, kCopy, kReparameterize };
inline EnumWords<InitHow> enum_words(InitHow) {
  return {
      {"random", InitHow::kRandom}, {"copy", InitHow::kCopy}, {"reparameterize", InitHow::kReparameterize}};
}

// A row. To add an objective: a row in objective_table.cpp, a row of makers in registry.cpp if no maker fits,
// a golden case, a preset in configs/.
struct ObjectiveInfo {
  std::string name;     // as stages[].objective says it
  std::string meaning;  // for people
  std::string model;    // what it trains: a row of models/transformer.h's table; "": the autoencoder

  // What it reads of a sample.
  bool reads_latents = true;  // features of the images; else the images themselves
  bool reads_labels = false;
  bool reads_captions = false;

  std::vector<std::string> adapter_targets = {};  // layers that get an adapter where lora.targets is empty
  std::vector<InitHow> init = {};                 // that make sense
  // Keys of a stage that have an effect with some objectives only, and do with this one.
  std::vector<std::string> keys = {};

  bool trains_autoencoder() const { return model.empty(); }
  bool draws_from_prompts() const { return reads_labels || reads_captions; }
};

const std::vector<ObjectiveInfo>& objective_table();
std::vector<std::string> objective_names();
const ObjectiveInfo& objective_info(
    const std::string& name);  // InternalError for a name that is not in the table

}  // namespace pixart::train
