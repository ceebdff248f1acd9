// What the stages of a run read: opened before any of them begins, and told apart by content.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/run_context.h"
#include "pixart/models/transformer.h"

namespace pixart::features {

// Calls `work`; a UserError about bad input becomes a problem. Other errors (storage, a request to stop) pass.
void collect(Problems& problems, const std::function<void()>& work);

// Opens what `stages` read: lists their sources and compares their classes, and checks the files, the config,
// and the names and shapes of the weights of autoencoder and text encoder, and the tokenizer. Adds every
// problem. Reads no image and no value of a weight, and writes nothing.
void open_inputs(RunContext& run, const std::vector<run::StageConfig>& stages, Problems& problems);

// The config of the autoencoder that the stages use: of the folder, or of the one that the run trains.
models::VaeConfig autoencoder_config(const run::RunConfig& config);

// The sizes of the labels or captions that the stage's transformer takes.
models::ConditionSizes condition_sizes(RunContext& run, const run::StageConfig& stage);

// The hash of each folder that a stage reads besides its sources: "autoencoder", "text_encoder", "tokenizer".
// `encoder` may be null.
std::map<std::string, std::string> input_hashes(const LatentCodec& codec, const CaptionEncoder* encoder);

// The same before anything is loaded, for the inputs that exist already.
std::map<std::string, std::string> input_hashes(const run::RunConfig& config,
                                                const std::vector<run::StageConfig>& stages);

}  // namespace pixart::features
