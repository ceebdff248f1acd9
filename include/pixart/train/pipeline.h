// A trained model, ready to make pictures, from wherever it lies.
#pragma once
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/train/components.h"
#include "pixart/train/generate.h"
#include "pixart/train/prompt_features.h"

namespace pixart::train {

struct PipelineRequest {
  // A run folder; a checkpoint folder in it; a pipeline folder in diffusers' layout (model_index.json); or
  // the weights of a PixArt or DiT in any layout that `pixart convert` reads, with `vae` and (PixArt)
  // `text_encoder` beside.
  std::filesystem::path path;
  std::filesystem::path vae = {}, text_encoder = {};  // folders in Hugging Face's layout
  std::string stage = {};  // of a run; "": the last text stage that has a checkpoint, else the class stage
  std::optional<int64_t> step = {};  // of its checkpoint; unset: the newest that verifies
  bool average = true;               // averaged (EMA) weights, else the live ones
  std::string device = "auto";
  std::filesystem::path prompt_cache = {};  // of PromptFeatures; "": none
};

// Where the model comes from, for people and for the pictures' metadata.
struct PipelineOrigin {
  std::filesystem::path path, weights;  // as asked for; the file or folder that holds the transformer
  std::string stage;                    // "" outside a run
  int64_t step = 0;
};

struct DrawRequest {
  std::vector<std::string> prompts;  // one picture each: captions, or class names of a class stage
  std::string negative_prompt = {};  // "": the model's own null caption
  int height = 0, width = 0;         // pixels; 0: the model's own
};

class Pipeline {
 public:
  // Throws UserError saying what is missing (no such run, no such stage, no checkpoint, no autoencoder).
  static Pipeline open(const PipelineRequest& request);

  // Unknown classes and sizes that the model does not have are an error. Other sizes than its own need
  // PixArt-MS, whose nearest official shape is what it is told.
  std::vector<Image> generate(const DrawRequest& request, const GenerateOptions& options) const;

  const RunConfig& run() const { return run_; }         // a run's own; else without stages
  const StageConfig& stage() const { return *stage_; }  // of a run
  const LatentCodec& codec() const { return *codec_; }
  const PipelineOrigin& origin() const { return origin_; }
  at::Device device() const { return device_; }
  void begin_hash() const;                    // of the weights, beside what the caller does
  const std::string& weights_sha256() const;  // waits for it, and begins it where nobody has
  // Of weights_sha256(), or what earlier versions wrote for the same folder (a warning).
  bool has_weights(const std::string& sha256) const;
  bool has_text_encoder() const { return encoder_ != nullptr; }
  bool loaded_text_encoder() const { return encoder_ && encoder_->has_loaded(); }
  int own_side() const;  // pixels of the pictures that it draws if nothing else is asked for

 private:
  Pipeline() = default;
  void open_run(const PipelineRequest& request);
  void open_weights(const PipelineRequest& request);
  void make_model(const models::TransformerConfig& config);
  std::vector<int64_t> labels_of(const std::vector<std::string>& prompts) const;
  models::Condition captions_of(const std::vector<std::string>& prompts) const;
  ToDraw what_to_draw(const DrawRequest& request) const;

  RunConfig run_;
  const StageConfig* stage_ = nullptr;
  PipelineOrigin origin_;
  at::Device device_ = at::kCPU;
  std::unique_ptr<LatentCodec> codec_;
  std::unique_ptr<PromptFeatures> encoder_;
  mutable std::shared_future<std::string> hash_;
  std::unique_ptr<nn::StateDict> state_;
  std::unique_ptr<models::Transformer> model_;
  std::vector<std::string> class_names_;
};

}  // namespace pixart::train
