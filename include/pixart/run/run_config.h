// The run file of `pixart train RUN.yaml`: shared parts first, then the list of stages.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/rule.h"
#include "pixart/data/caption_set.h"
#include "pixart/data/latent_set.h"
#include "pixart/data/loader.h"
#include "pixart/data/order.h"
#include "pixart/data/training_shapes.h"
#include "pixart/demo/score_config.h"
#include "pixart/diffusion/consistency.h"
#include "pixart/diffusion/diffusion_config.h"
#include "pixart/diffusion/samplers.h"
#include "pixart/models/t5.h"
#include "pixart/models/transformer_shape.h"
#include "pixart/models/vae.h"
#include "pixart/nn/lora.h"
#include "pixart/run/alignment_config.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/run/control_config.h"
#include "pixart/run/encode_config.h"
#include "pixart/run/features_config.h"
#include "pixart/run/mix_config.h"
#include "pixart/run/objective_table.h"
#include "pixart/run/resolution_config.h"
#include "pixart/run/samples_config.h"
#include "pixart/run/skipped_tokens.h"
#include "pixart/run/trainer_config.h"
#include "pixart/score/drawn_scores_config.h"

namespace pixart::run {

// Where the autoencoder comes from: a folder, or a stage of this run that trains one of the given
// size.
struct AutoencoderConfig {
  std::optional<std::filesystem::path> path;
  models::VaeSize size;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("path", s.path,
      "Folder of a trained autoencoder: AutoencoderKL or AutoencoderTiny (diffusers), or the two files of a TAESD. "
      "Without it a stage with objective autoencoder trains one.",
      any().by_content("stages that have not begun use the other autoencoder"));
    models::VaeSize::fields(s.size, v);
  }
  void validate(std::vector<std::string>& problems) const;
};

// Where the text encoder comes from: a T5 folder in Hugging Face's layout, or a small one with fixed random
// weights.
enum class EncoderDtype { kStored, kFloat32, kBFloat16 };
inline EnumWords<EncoderDtype> enum_words(EncoderDtype) {
  return {{"stored", EncoderDtype::kStored},
          {"float32", EncoderDtype::kFloat32},
          {"bfloat16", EncoderDtype::kBFloat16}};
}

struct TextEncoderConfig {
  std::optional<std::filesystem::path> path;
  EncoderDtype dtype = EncoderDtype::kStored;
  int64_t max_tokens = 120;
  bool clean_captions = true;
  // The rest: only for the random encoder.
  models::T5Size size = {.d_model = 128, .num_layers = 2, .num_heads = 8, .d_ff = 256};
  double position_bias_std = 3.0;
  int64_t vocabulary = 400;
  std::optional<std::filesystem::path> tokenizer = {};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("path", s.path,
      "Folder of a T5 v1.1 encoder with its tokenizer (spiece.model or tokenizer.json). Without it a small "
      "encoder with fixed random weights is made.",
      any().by_content("stages that have not begun use the other text encoder"));
    v("dtype", s.dtype, "Type in which the encoder runs; stored: the type of its file.", any());
    v("max_tokens", s.max_tokens,
      "Captions are cut to this number of tokens (PixArt-alpha: 120, PixArt-Sigma: 300).", in_range(1, 8192));
    v("clean_captions", s.clean_captions,
      "Apply the released caption cleaning (twice), else lower-case and strip.", any());
    models::T5Size::fields(s.size, v);
    v("position_bias_std", s.position_bias_std,
      "Standard deviation of the random encoder's position bias; with the usual 0.05 it ignores word order.",
      positive_up_to(1000));
    v("vocabulary", s.vocabulary,
      "Largest number of pieces in the random encoder's tokenizer, which is trained on the run's captions.",
      in_range(16, 1e6));
    v("tokenizer", s.tokenizer,
      "A tokenizer for the random encoder, such as T5's own: spiece.model, tokenizer.json or a folder with one of them. "
      "Unset: it is trained.",
      any());
  }
  void validate(std::vector<std::string>& problems) const;
};

// Size of the transformer: a published size, or numbers. The class-conditional stage builds a DiT of this
// size, the text stages a PixArt.
struct TransformerSizeConfig {
  std::optional<std::string> preset;
  std::optional<int64_t> patch_size, hidden_size, depth, num_heads;
  double mlp_ratio = 4.0;
  bool qk_norm = false;
  std::optional<int64_t> base_width, base_heads;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("preset", s.preset, "Published size: XL/2, or one of S, B, L, XL with patch 2, 4, 8.", any());
    v("patch_size", s.patch_size, "Side of a patch, in latent pixels (without preset).", in_range(1, 256));
    v("hidden_size", s.hidden_size, "Width (without preset).", in_range(1, kWidestLayer));
    v("depth", s.depth, "Number of blocks (without preset).", in_range(1, kMostLayers));
    v("num_heads", s.num_heads, "Attention heads (without preset).", in_range(1, 4096));
    v("mlp_ratio", s.mlp_ratio, "Width of the MLP divided by hidden_size.", positive_up_to(64));
    v("qk_norm", s.qk_norm,
      "Normalise queries and keys of self-attention, so that long runs in bfloat16 stay stable. The published "
      "models do not, and diffusers cannot.",
      any());
    v("base_width", s.base_width,
      "Maximal update parametrization (muP): initial values and learning rates are those of a model of this width, "
      "scaled so that its best learning rate is also that of hidden_size. Unset: the standard parametrization. Needs "
      "optimizer adamw; stages with lora train their adapters without it.",
      in_range(4, kWidestLayer));
    v("base_heads", s.base_heads, "Attention heads at base_width; unset: num_heads.", in_range(1, 4096));
  }
  void validate(std::vector<std::string>& problems) const;
  void add_base_problems(std::vector<std::string>& problems) const;  // of base_width and base_heads
  std::optional<int64_t> own_heads() const;                          // unset: neither preset nor num_heads
  std::optional<int64_t> num_blocks() const;  // unset: neither preset nor sizes are given
};

struct InitConfig {
  InitHow how = InitHow::kRandom;
  std::string from;
  std::string set = "model";
  std::string shared_modulation = "mean";
  std::optional<double> embedder_std;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("how", s.how,
      "random: the published initialisation; copy: continue from weights of the same kind; reparameterize: "
      "DiT to PixArt.",
      any());
    v("from", s.from,
      "Name of an earlier stage (its EMA weights), or a weight file or folder in any layout that pixart "
      "convert reads. Not with random.",
      any().by_content(""));
    v("set", s.set,
      "Which weights to take from a file with several sets: model, ema, or the key of the set in the file.",
      any());
    v("shared_modulation", s.shared_modulation,
      "reparameterize: the shared time modulation is the mean over blocks, or block:<i>.", any());
    v("embedder_std", s.embedder_std,
      "Standard deviation of new timestep and caption embedders. Unset: 0.02 as published; 0: "
      "1/sqrt(fan_in), which narrow models need.",
      in_range(0, 1000));
  }
  void validate(std::vector<std::string>& problems) const;
};

struct ValidationConfig {
  int64_t every = 0;
  std::string source;
  int64_t samples = 64;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("every", s.every, "Measure the loss on held-out samples every N steps and at the end; 0: never.",
      in_range(0, kMostSteps).free());
    v("source", s.source, "Data source of the held-out samples; the stage must not train on it.",
      any().free());
    v("samples", s.samples, "Number of samples, evenly spread over the source.",
      in_range(1, kMostOfAStep).free());
  }
  void validate(std::vector<std::string>& problems) const;
};

// Scores of images that are drawn during training.
struct MetricsConfig : score::DrawnScoresConfig, SamplerChoice {
  int64_t every = 0;
  std::string suite, source;
  int64_t images = 500;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("every", s.every, "Draw images and score them every N steps and at the end; 0: never.",
      in_range(0, kMostSteps).free());
    v("suite", s.suite,
      "text: the prompts to draw, as pixart sample --suite takes them (PATH or KIND:PATH), one image for each.",
      any().free());
    v("source", s.source,
      "text: data source whose captions are drawn, in place of a suite; the stage must not train on it.",
      any().free());
    v("images", s.images,
      "Number of images: of prompts evenly spread over the suite or the source, or of all classes in turn.",
      in_range(2, kMostOfAStep).free());
    SamplerChoice::fields(s, v);
    DrawnScoresConfig::fields(s, v);
  }
  void validate(std::vector<std::string>& problems) const;
};

struct CheckpointConfig : CheckpointKeeping {
  int64_t every = 1000;
  OnSaveError on_error = OnSaveError::kContinue;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("every", s.every, "Save every N steps and at the end of the stage.", in_range(1, kMostSteps).free());
    CheckpointKeeping::fields(s, v);
    v("on_error", s.on_error,
      "If a save fails, for example on a full disk: continue logs an error and trains on until the next "
      "save; stop ends the run with exit code 74. The first save, the last and one before stopping must "
      "succeed.",
      any().free());
  }
};

// Type of the transformer's matrix products.
enum class Precision { kFloat32, kTf32, kBFloat16 };
inline EnumWords<Precision> enum_words(Precision) {
  return {{"float32", Precision::kFloat32}, {"tf32", Precision::kTf32}, {"bfloat16", Precision::kBFloat16}};
}

struct StageConfig : TrainerConfig, diffusion::DiffusionConfig {
  std::string name, objective, source;
  std::vector<MixConfig> mix;
  std::filesystem::path exclude;
  int64_t resolution = 256;
  std::vector<ResolutionConfig> resolutions;
  data::ResolutionRule resolution_rule = data::ResolutionRule::kLargest;
  bool aspect_buckets = false;
  bool horizontal_flip = false;
  int64_t micro_batch_size = 0;
  Precision precision = Precision::kFloat32;
  int64_t activation_checkpointing = 0;
  InitConfig init;
  std::vector<std::string> frozen;
  nn::LoraConfig lora;
  double condition_dropout = 0.1;
  diffusion::ConsistencyConfig consistency;
  double position_scale = 1.0;
  bool multi_scale = false;
  std::optional<bool> micro_conditions;
  models::KvCompression kv_compression;
  ControlConfig control;
  RoutingConfig routing;
  MaskingConfig masking;
  AlignmentConfig alignment;
  double kl_weight = 1e-6;
  int64_t log_every = 20;
  SamplesConfig samples;
  ValidationConfig validation;
  MetricsConfig metrics;
  CheckpointConfig checkpoints;
  EncodeConfig encode;
  // Not a key of a stage: what is encoded in place of the images (for_control()).
  data::ControlImage encoded_control;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("name", s.name, "Name of the stage; other stages and commands refer to it.", required());
    v("objective", s.objective,
      "What is trained: the autoencoder, a class-conditional DiT (stage 1), the text-to-image PixArt (stages 2 and "
      "3), or a PixArt that draws in a few steps (consistency), which learns from the PixArt of init.from.",
      one_of(objective_names()).required());
    v("source", s.source, "Name of the data source.", any());
    v("mix", s.mix, "Several sources in place of one.", any());
    v("exclude", s.exclude,
      "JSONL file of samples that the stage leaves out, one {source, key} per line; a run writes such files in "
      "<run>/excluded, whose from_position counts too.",
      any().by_content(""));
    v("resolution", s.resolution,
      "Side of the training images in pixels. With resolutions: the one of them that positions, samples, metrics "
      "and micro_batch_size refer to.",
      in_range(1, kLargestSide));
    v("resolutions", s.resolutions,
      "text: several resolutions in one stage, smallest first; each image has one of them, and each step mostly "
      "one, too. Needs multi_scale.",
      any());
    v("resolution_rule", s.resolution_rule,
      "Which of resolutions an image has. largest: the largest that it fills without being enlarged; share: one "
      "of those that it fills, by their shares. One that fills none has the smallest.",
      any());
    v("aspect_buckets", s.aspect_buckets,
      "Cut images to the nearest of the forty official shapes of this resolution (256, 512, 1024, 2048) "
      "instead of a square; needs multi_scale.",
      any());
    v("horizontal_flip", s.horizontal_flip,
      "Mirror half of the samples, drawn anew each time. Not for captions that speak of left and right.",
      any());
    v("encode", s.encode, "Whether features are computed once before the stage, or in its steps.", any());
    TrainerConfig::fields(s, v);
    v("micro_batch_size", s.micro_batch_size,
      "Samples per forward and backward pass; gradients accumulate. 0: the whole batch.",
      in_range(0, kMostOfAStep)
          .needs_permission("the next steps add gradients in another order, which changes their last bits"));
    v("precision", s.precision,
      "Type of the transformer's matrix products, in training, validation and samples. tf32: float32 whose "
      "factors a GPU since Ampere rounds to 10 bits after the point; elsewhere the same as float32. bfloat16 "
      "keeps weights, gradients, moments, EMA, norms, modulation and loss in float32; slow on most CPUs.",
      any().needs_permission("the next steps compute in it"));
    v("activation_checkpointing", s.activation_checkpointing,
      "Recompute blocks in backward instead of keeping their activations: 0 none, 1 all, n every n-th. Saves "
      "memory and takes time; losses are the same to the bit.",
      in_range(0, kMostLayers).free());
    v("init", s.init, "Where the weights start.", any());
    v("frozen", s.frozen,
      "Names of parameters that are not trained, for example `blocks.*.attn.*` or `*_embedder.*` (pixart "
      "inspect lists all names).",
      any());
    v("lora", s.lora,
      "Adapters (LoRA) that are trained while all weights stay as init.from loads them; at the end they are "
      "written to <run>/lora/<stage> for diffusers and PEFT.",
      any());
    v("condition_dropout", s.condition_dropout,
      "Share of samples whose class or caption is replaced by the null condition.",
      in_range(0, 1).needs_permission("the next steps use it"));
    DiffusionConfig::fields(s, v);
    v("consistency", s.consistency,
      "Distillation into a model that draws in a few steps (LCM): the weights of init.from teach, and the stage's EMA is "
      "the target network, with ema_decay (published: 0.95).",
      any());
    v("position_scale", s.position_scale, "text: positions are divided by it (lewei_scale; 2 at 1024 px).",
      in_range(0.01, 1000));
    v("multi_scale", s.multi_scale, "text: PixArt-MS, whose positions are computed for images of any shape.",
      any());
    v("micro_conditions", s.micro_conditions,
      "text: size and aspect-ratio conditions, which need multi_scale. Unset: as multi_scale (PixArt-alpha); "
      "PixArt-Sigma has multi_scale without them.",
      any());
    v("kv_compression", s.kv_compression,
      "text: fewer keys and values in self-attention (PixArt-Sigma), for large images.", any());
    v("control", s.control,
      "text: a ControlNet (PixArt-delta): copies of the first blocks learn to follow a control image, and all other "
      "weights stay as init.from loads them.",
      any());
    v("routing", s.routing, "Image tokens that skip some blocks in training (TREAD), for cheaper steps.",
      any());
    v("masking", s.masking, "Image tokens that are left out in training (MaskDiT), for cheaper steps.",
      any());
    v("alignment", s.alignment,
      "Alignment of a block with a teacher that sees the images (REPA), for fewer steps.", any());
    v("kl_weight", s.kl_weight, "autoencoder: weight of the KL term, which is added to L1 + MSE.",
      in_range(0, 1e6).needs_permission("the next steps use it"));
    v("log_every", s.log_every, "Write metrics every N steps.", in_range(1, kMostSteps).free());
    v("samples", s.samples, "Sample images.", any());
    v("validation", s.validation,
      "Loss on held-out samples, with fixed noise at eight fixed timesteps, of the weights and of their EMA. "
      "It never changes the training.",
      any());
    v("metrics", s.metrics,
      "Scores of images that the EMA weights draw, such as FID. They never change the training.", any());
    v("checkpoints", s.checkpoints, "Checkpoints.", any());
  }
  void validate(std::vector<std::string>& problems) const;
  bool has_micro_conditions() const { return micro_conditions.value_or(multi_scale); }
  SkippedTokens skipped_tokens(int64_t depth) const { return run::skipped_tokens(routing, masking, depth); }
  const ObjectiveInfo& info() const { return objective_info(objective); }
  bool reads_stored_latents() const { return info().reads_latents && encode.latents == Encoding::kStored; }
  // What its teacher sees is stored where the latents are, or computed with them.
  bool reads_stored_teacher() const { return alignment.is_on() && reads_stored_latents(); }
  bool reads_stored_captions() const { return info().reads_captions && encode.captions == Encoding::kStored; }
  std::vector<MixConfig> parts() const;  // the mix, or the one source
  // Images of different shapes, of which the order of samples makes batches.
  bool has_buckets() const { return aspect_buckets || !resolutions.empty(); }
  data::TrainingShapes shapes() const;
  // The stage at one of its resolutions alone; of a stage without `resolutions` the only element is the stage itself.
  std::vector<StageConfig> at_each_resolution() const;
  // How the stage cuts the images of a part of its mix, which may have one resolution: that alone, or the stage itself.
  StageConfig at(const std::optional<int64_t>& resolution) const;
  // The largest number of samples of a micro-batch for each bucket (0: no limit); empty: micro_batch_size for all.
  std::vector<int64_t> micro_batch_sizes() const;
  // What the trained model predicts; of objective consistency it is a consistency model.
  diffusion::Process process() const;
  diffusion::SamplerConfig sampler() const;          // of `samples`, or the default where unset
  diffusion::SamplerConfig metrics_sampler() const;  // of `metrics`, or of `samples` where unset
  // The same stage, whose latents are those of the control images; and the stages of which latents are stored: with
  // control both.
  StageConfig for_control() const;
  std::vector<StageConfig> encoded() const;
  // The stage on its validation source, without random changes and with stored features.
  StageConfig held_out() const;
};

struct RunConfig {
  std::filesystem::path run;
  int64_t seed = 0;
  std::string device = "auto";
  int64_t threads = 0;
  Numerics numerics = Numerics::kDefault;
  Kernels kernels = Kernels::kFused;
  std::optional<int64_t> sample_order;
  AutoencoderConfig autoencoder;
  TextEncoderConfig text_encoder;
  TransformerSizeConfig transformer;
  FeaturesConfig features;
  data::LoaderConfig loader;
  std::vector<data::SourceConfig> sources;
  std::vector<StageConfig> stages;
  std::optional<demo::EvaluationConfig> evaluation;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("run", s.run, "Run folder: everything the run writes is in it.", required().free());
    v("seed", s.seed, "Seed of weights, data order and noise.", not_negative());
    v("device", s.device, "auto, cpu, cuda or cuda:<i>.", any().free());
    v("threads", s.threads,
      "CPU threads of each rank; 0: the machine's cores, divided among its ranks. Bit-exact resume needs the "
      "same number.",
      in_range(0, 4096).free());
    v("numerics", s.numerics,
      "exact: compute samples one by one and add them in a fixed order, so that every number of ranks and "
      "every micro_batch_size gives the same bits (on one kind of machine, with the same threads). Slow; for "
      "proofs and for finding faults.",
      any().needs_permission("the next steps compute in this way, which changes their last bits"));
    v("kernels", s.kernels,
      "fused: pass over memory once between matrix products, on GPUs and on the CPU, where there are kernels for "
      "it; plain: use LibTorch's operations alone, to find faults and to compare.",
      any().needs_permission("the next steps compute in this way, which changes their last bits"));
    v("sample_order", s.sample_order,
      "Version of the order of samples. 1: an epoch's rows are listed in memory; 2: each row is computed alone, "
      "which takes no memory for them. Unset: that of the run in the run folder, which is 1 if its run.yaml names "
      "none; 2 in a new run.",
      in_range(1, int64_t(data::kNewestOrder)));
    v("autoencoder", s.autoencoder, "The autoencoder that makes the latents.", any());
    v("text_encoder", s.text_encoder, "The text encoder.", any());
    v("transformer", s.transformer, "Size of the diffusion transformer.", any());
    v("features", s.features, "Features of images and captions.", any());
    v("loader", s.loader, "How samples are read ahead.", any());
    v("sources", s.sources, "Data sources that stages refer to.", required());
    v("stages", s.stages, "Stages, trained in order.", required());
    v("evaluation", s.evaluation,
      "Scoring of generated scenes by `pixart demo score` (sources of type scenes).", any());
  }
  void validate(std::vector<std::string>& problems) const;

  data::OrderVersion order_version() const {
    return data::OrderVersion(sample_order.value_or(int64_t(data::kNewestOrder)));
  }
  const StageConfig& stage(const std::string& name) const;  // UserError lists the known ones
  const data::SourceConfig& source(const std::string& name) const;
};

// Reads and checks a run file; `overrides` are as for --set. Fills in unset keys of the optimizers.
RunConfig read_run_config(const std::filesystem::path& path, const std::vector<std::string>& overrides = {});

}  // namespace pixart::run
