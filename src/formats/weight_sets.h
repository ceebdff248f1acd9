// The sets of weights in one file: a training program saves the weights and their EMA, perhaps in
// dictionaries inside each other.
#pragma once
#include <string>
#include <vector>

#include "pixart/formats/weights.h"
#include "pth.h"

namespace pixart::formats {

const PickleDict* as_dict(const PickleValue& value);  // null if it is something else

struct WeightSet {
  const PickleValue* value = nullptr;
  std::vector<std::string> others = {};  // sets that were not chosen
  std::string path = {};                 // keys that lead to the set: "ema.module"; "" for the top level
};

// The dictionary of the weights `which` (see open_weights()): the top level, or an entry below it. The result
// has a pointer into `root`. Throws UserError about `file` if the choice is not clear.
WeightSet choose_set(const PickleValue& root, const std::string& which, const std::string& file);

// The same for tensors whose names begin with the key ("ema.x"). All of them if `which` is "model".
Weights choose_flat_set(Weights weights, const std::string& which, const std::string& file);

[[noreturn]] void refuse_choice(const std::string& file, const std::string& which,
                                const std::vector<std::string>& sets);

}  // namespace pixart::formats
