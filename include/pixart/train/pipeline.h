// A trained stage of a run, ready to make pictures.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/train/components.h"
#include "pixart/train/generate.h"

namespace pixart::train {

struct PipelineRequest {
  std::filesystem::path run;    // run folder
  std::string stage;            // "": the last text stage that has a checkpoint, else the class stage
  std::optional<int64_t> step;  // of its checkpoint; unset: the newest that verifies
  bool average = true;          // averaged (EMA) weights, else the live ones
  std::string device = "auto";
};

class Pipeline {
 public:
  // Throws UserError saying what is missing (no such run, no such stage, no checkpoint).
  static Pipeline open(const PipelineRequest& request);

  // One picture per prompt: captions for a text stage, class names for a class stage (unknown ones are an
  // error).
  std::vector<Image> generate(const std::vector<std::string>& prompts, const GenerateOptions& options) const;

  const RunConfig& run() const { return run_; }
  const StageConfig& stage() const { return *stage_; }
  const LatentCodec& codec() const { return *codec_; }
  int64_t step() const { return step_; }
  at::Device device() const { return device_; }

 private:
  Pipeline() = default;
  std::vector<int64_t> labels_of(const std::vector<std::string>& prompts) const;
  RunConfig run_;
  const StageConfig* stage_ = nullptr;
  int64_t step_ = 0;
  at::Device device_ = at::kCPU;
  std::unique_ptr<LatentCodec> codec_;
  std::unique_ptr<CaptionEncoder> encoder_;
  std::unique_ptr<nn::StateDict> state_;
  std::unique_ptr<models::PixArt> pixart_;
  std::unique_ptr<models::Dit> dit_;
  std::vector<std::string> class_names_;
};

}  // namespace pixart::train
