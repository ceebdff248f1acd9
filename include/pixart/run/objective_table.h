// The objectives of run files, one row each. All their differences are in this table; no other code compares
// their names.
#pragma once
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"

namespace pixart::run {

// Where the weights of a stage start.
enum class InitHow { kRandom, kCopy, kReparameterize };
inline EnumWords<InitHow> enum_words(InitHow) {
  return {
      {"random", InitHow::kRandom}, {"copy", InitHow::kCopy}, {"reparameterize", InitHow::kReparameterize}};
}

// A row of the table. A new objective needs a row in objective_table.cpp, a maker in train/stage_model.cpp if
// no maker fits, a golden case, and a preset in configs/.
struct ObjectiveInfo {
  std::string name;     // the word of stages[].objective
  std::string meaning;  // for people
  std::string model;    // the trained model, a row of the table in models/transformer.h; "": the autoencoder

  // The parts of a sample that it reads.
  bool reads_latents = true;  // features of the images; else the images themselves
  bool reads_labels = false;
  bool reads_captions = false;

  // A frozen copy of the weights that it starts from teaches the model, and its EMA is the target (diffusion/consistency.h).
  bool distills = false;

  std::vector<std::string> adapter_targets = {};  // layers that get an adapter where lora.targets is empty
  std::vector<InitHow> init = {};                 // the allowed ones
  // Keys of a stage that only some objectives use, this one among them.
  std::vector<std::string> keys = {};

  bool trains_autoencoder() const { return model.empty(); }
  bool draws_from_prompts() const { return reads_labels || reads_captions; }
};

const std::vector<ObjectiveInfo>& objective_table();
std::vector<std::string> objective_names();
const ObjectiveInfo& objective_info(
    const std::string& name);  // InternalError for a name that is not in the table

}  // namespace pixart::run
