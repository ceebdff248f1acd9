// Compressed keys in files: a config.json and the metadata of weights write them in the same way.
#pragma once
#include "json_config.h"
#include "pixart/models/transformer_shape.h"

namespace pixart::models {

// From {"sampling": "conv", "factor": 2, "layers": [14, 15]}; adds a problem for each key that is
// wrong. A key that is missing has its default; KvCompression::problems() tells what does not fit together.
KvCompression read_kv_compression(JsonConfig& section);

}  // namespace pixart::models
