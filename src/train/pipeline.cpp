#include "pixart/train/pipeline.h"

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/nn/device.h"
#include "pixart/train/checkpoint_folder.h"

namespace pixart::train {
namespace fs = std::filesystem;

namespace {

const StageConfig& choose_stage(const RunConfig& run, const RunFolder& folder, const std::string& name) {
  if (!name.empty()) {
    const auto& stage = run.stage(name);
    if (stage.objective == "autoencoder")
      throw UserError("stage " + name + " trains the autoencoder; name a class or text stage.");
    return stage;
  }
  for (const char* objective : {"text_conditional", "class_conditional"}) {
    for (auto stage = run.stages.rbegin(); stage != run.stages.rend(); ++stage) {
      if (stage->objective == objective && !list_checkpoints(folder.checkpoints(stage->name)).empty())
        return *stage;
    }
  }
  throw UserError(
      fmt::format("run {} has no checkpoint of a class or text stage yet: train it first (pixart train {}).",
                  folder.root.string(), folder.config().string()));
}

Checkpoint choose_checkpoint(const fs::path& stage_folder, std::optional<int64_t> step) {
  if (!step) {
    if (auto newest = newest_good_checkpoint(stage_folder)) return *newest;
    throw UserError("no usable checkpoint in " + stage_folder.string() + ".");
  }
  std::vector<std::string> steps;
  for (const auto& checkpoint : list_checkpoints(stage_folder)) {
    if (checkpoint.step == *step) {
      const std::string problem = verify_checkpoint(checkpoint.folder);
      if (!problem.empty())
        throw UserError(fmt::format("checkpoint {}: {}", checkpoint.folder.string(), problem));
      return checkpoint;
    }
    steps.push_back(std::to_string(checkpoint.step));
  }
  throw UserError(fmt::format("no checkpoint of step {} in {}; there are: {}", *step, stage_folder.string(),
                              join(steps, ", ")));
}

}  // namespace

Pipeline Pipeline::open(const PipelineRequest& request) {
  const RunFolder folder{request.run};
  if (!fs::exists(folder.config())) {
    throw UserError(fmt::format(
        "{} is no run folder (it holds no run.yaml). Give the folder that `run:` of your run file names.",
        request.run.string()));
  }
  Pipeline pipeline;
  pipeline.run_ = read_run_config(folder.config());
  pipeline.run_.run = request.run;
  pipeline.stage_ = &choose_stage(pipeline.run_, folder, request.stage);
  pipeline.device_ = nn::select_device(request.device);
  nn::set_num_threads(pipeline.run_.threads);
  const auto checkpoint = choose_checkpoint(folder.checkpoints(pipeline.stage_->name), request.step);
  pipeline.step_ = checkpoint.step;
  pipeline.codec_ = std::make_unique<LatentCodec>(load_codec(pipeline.run_, pipeline.device_));
  pipeline.state_ =
      std::make_unique<nn::StateDict>(nn::StateDictOptions{.dtype = at::kFloat, .device = pipeline.device_});
  const nn::Scope scope(*pipeline.state_);
  const fs::path file = checkpoint.folder / (request.average ? "ema.safetensors" : "model.safetensors");
  const auto weights = formats::load_safetensors(file);
  if (pipeline.stage_->objective == "text_conditional") {
    pipeline.encoder_ = std::make_unique<CaptionEncoder>(
        load_caption_encoder(pipeline.run_, pipeline.device_, [] { return std::vector<std::string>(); }));
    pipeline.pixart_ = std::make_unique<models::PixArt>(
        scope, pixart_config(pipeline.run_, *pipeline.stage_, pipeline.codec_->config(),
                             pipeline.encoder_->channels()));
  } else {
    pipeline.class_names_ =
        data::open_dataset(pipeline.run_.source(pipeline.stage_->parts().front().source))->class_names();
    pipeline.dit_ = std::make_unique<models::Dit>(
        scope, dit_config(pipeline.run_, *pipeline.stage_, pipeline.codec_->config(),
                          int64_t(pipeline.class_names_.size())));
  }
  nn::load_state(*pipeline.state_, weights.tensors, file.string());
  return pipeline;
}

std::vector<int64_t> Pipeline::labels_of(const std::vector<std::string>& prompts) const {
  Problems problems;
  std::vector<int64_t> labels;
  for (const auto& prompt : prompts) {
    const auto found = std::find(class_names_.begin(), class_names_.end(), prompt);
    if (found == class_names_.end())
      problems.add(fmt::format("'{}' is no class.{}", prompt, did_you_mean(prompt, class_names_)));
    labels.push_back(found - class_names_.begin());
  }
  problems.throw_if_any(fmt::format("stage {} draws classes ({})", stage_->name, join(class_names_, ", ")));
  return labels;
}

std::vector<Image> Pipeline::generate(const std::vector<std::string>& prompts,
                                      const GenerateOptions& options) const {
  if (dit_) return train::generate(*dit_, *codec_, labels_of(prompts), device_, options);
  return train::generate(*pixart_, *codec_, encoder_->encode(prompts), pixart_->config().input_size, device_,
                         options);
}

}  // namespace pixart::train
