// A trained model with everything that makes images with it, loaded from a run, a pipeline folder or weights.
#pragma once
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/convert/stated_process.h"
#include "pixart/data/control_image.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/prompt_features.h"
#include "pixart/sample/generate.h"

namespace pixart::sample {

struct PipelineRequest {
  // A run folder; a checkpoint folder in it; a pipeline folder in diffusers' layout (model_index.json); or
  // the weights of a PixArt or DiT in any layout that `pixart convert` reads: these also need `vae`, and a
  // PixArt needs `text_encoder`.
  std::filesystem::path path;
  std::filesystem::path vae = {}, text_encoder = {};  // folders in Hugging Face's layout
  // Decodes the images in place of the autoencoder, quickly and less exactly; see features::load_preview_decoder().
  // Weights without an autoencoder then need no `vae`.
  std::filesystem::path preview_decoder = {};
  std::string stage = {};  // of a run; "": the last text stage that has a checkpoint, else the class stage
  std::optional<int64_t> step = {};  // of its checkpoint; unset: the newest good one
  bool ema = true;                   // use EMA weights, else the live ones
  // What the model predicts: in place of what its files say, and what the user says about it. A run's stage
  // says it itself; of this, only the shift of a flow may differ.
  std::optional<diffusion::Process> process = {};
  convert::ChosenProcess chosen = {};
  std::string device = "auto";
  int local_rank = 0, local_ranks = 1;  // of the processes that draw together, those on this machine
  std::optional<int64_t> threads =
      {};  // on the CPU; unset: those of the run file, or else a share of the cores
  std::optional<run::Precision> precision = {};  // unset: that of the run's stage; float32 outside a run
  std::filesystem::path prompt_cache = {};       // folder for PromptFeatures; "": none
};

// Where the model comes from, for messages and for the images' metadata.
struct PipelineOrigin {
  std::filesystem::path path, vae, text_encoder, preview_decoder;  // the request's
  bool ema = true;                                                 // the request's
  std::filesystem::path weights;                                   // the transformer's file or folder
  std::string stage;                                               // "" outside a run
  int64_t step = 0;
};

// An image that a ControlNet follows.
struct ControlRequest {
  std::filesystem::path image = {};  // "": none
  double strength = 1;
  // What is made of the image; unset: as the run's stage was trained, and outside a run its edges.
  std::optional<data::ControlImage> how = {};
};

struct DrawRequest {
  std::vector<std::string> prompts;  // one for each image: captions, or class names of a class stage
  std::string negative_prompt = {};  // "": the model's own null caption
  int height = 0, width = 0;         // pixels; 0: the model's own
  ControlRequest control = {};       // of all images
};

struct ImageSize {
  int height, width;  // pixels
};

class Pipeline {
 public:
  // Throws UserError that says what is missing (run, stage, checkpoint or autoencoder).
  static Pipeline open(const PipelineRequest& request);

  // Throws UserError for what generate() refuses: unknown classes and unsupported sizes.
  void check(const DrawRequest& request) const;
  ImageSize size_of(const DrawRequest& request) const;  // of its images; throws for unsupported sizes
  data::ControlImage control_image_of(const ControlRequest& control) const;  // what is made of its image

  // Sizes other than the model's own need PixArt-MS, which gets the nearest official shape as its condition.
  std::vector<Image> generate(const DrawRequest& request, const GenerateOptions& options) const;

  const run::RunConfig& run() const { return run_; }         // of a run; else without stages
  const run::StageConfig& stage() const { return *stage_; }  // of a run
  const features::LatentCodec& codec() const { return *codec_; }
  const PipelineOrigin& origin() const { return origin_; }
  at::Device device() const { return device_; }
  run::Precision precision() const { return precision_; }
  const diffusion::Process& process() const { return process_; }
  void begin_hash() const;                    // of the weights, in the background
  const std::string& weights_sha256() const;  // begins the hash if needed, and waits
  // True for weights_sha256(), and with a warning for the hash that earlier versions wrote for the same
  // folder.
  bool has_weights(const std::string& sha256) const;
  data::FeatureInputs inputs() const;  // what decodes, and the text encoder, with hashes of their files
  bool has_text_encoder() const { return encoder_ != nullptr; }
  bool loaded_text_encoder() const { return encoder_ && encoder_->has_loaded(); }
  const std::vector<std::string>& class_names() const { return class_names_; }  // of a class model
  int own_side() const;  // default side of its images in pixels

 private:
  Pipeline() = default;
  void open_run(const PipelineRequest& request);
  void open_weights(const PipelineRequest& request);
  void open_codec(const PipelineRequest& request, const std::filesystem::path& autoencoder);
  void make_model(const models::TransformerConfig& config);
  void open_encoder(const run::TextEncoderConfig& settings, const std::filesystem::path& tokenizer,
                    const std::filesystem::path& prompt_cache);
  std::vector<int64_t> labels_of(const std::vector<std::string>& prompts) const;
  models::Condition captions_of(const std::vector<std::string>& prompts) const;
  ToDraw what_to_draw(const DrawRequest& request) const;
  void check_control(const ControlRequest& control) const;
  at::Tensor control_of(const ControlRequest& control, ImageSize size) const;

  run::RunConfig run_;
  const run::StageConfig* stage_ = nullptr;
  PipelineOrigin origin_;
  at::Device device_ = at::kCPU;
  run::Precision precision_ = run::Precision::kFloat32;
  diffusion::Process process_;
  std::unique_ptr<features::LatentCodec> codec_;
  std::unique_ptr<features::PromptFeatures> encoder_;
  mutable std::shared_future<std::string> hash_;
  std::unique_ptr<nn::StateDict> state_;
  std::unique_ptr<models::Transformer> model_;
  std::vector<std::string> class_names_;
};

}  // namespace pixart::sample
