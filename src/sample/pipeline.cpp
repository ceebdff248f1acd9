#include "pixart/sample/pipeline.h"

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/convert/initial_weights.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/features/extract.h"
#include "pixart/features/file_fingerprint.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/formats/weights.h"
#include "pixart/models/alignment.h"
#include "pixart/nn/device.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/run/run_folder.h"
#include "pixart/run/trained_parameters.h"

namespace pixart::sample {
namespace fs = std::filesystem;

namespace {

const run::StageConfig& choose_stage(const run::RunConfig& run, const run::RunFolder& folder,
                                     const std::string& name) {
  if (!name.empty()) {
    const auto& stage = run.stage(name);
    if (!stage.info().draws_from_prompts())
      throw UserError("stage " + name + " trains the autoencoder; give a class or text stage.");
    return stage;
  }
  for (const bool with_captions : {true, false}) {
    for (auto stage = run.stages.rbegin(); stage != run.stages.rend(); ++stage) {
      if (stage->info().draws_from_prompts() && stage->info().reads_captions == with_captions &&
          !run::list_checkpoints(folder.checkpoints(stage->name)).empty())
        return *stage;
    }
  }
  throw UserError(
      fmt::format("run {} has no checkpoint of a class or text stage yet: train it first (pixart train {}).",
                  folder.root.string(), folder.config().string()));
}

// The request for a checkpoint folder <run>/checkpoints/<stage>/step-00000100; nothing for other paths.
std::optional<PipelineRequest> as_checkpoint(const PipelineRequest& request) {
  const fs::path folder = fs::weakly_canonical(request.path);
  const fs::path run = folder.parent_path().parent_path().parent_path();
  if (!fs::exists(folder / "manifest.json") || !fs::exists(run::RunFolder{run}.config())) return std::nullopt;
  PipelineRequest result = request;
  result.path = run;
  result.stage = folder.parent_path().filename();
  for (const auto& checkpoint : run::list_checkpoints(folder.parent_path()))
    if (checkpoint.folder.filename() == folder.filename()) result.step = checkpoint.step;
  return result;
}

// What the stage was trained for, with the chosen shift.
diffusion::Process process_of(const run::StageConfig& stage, const convert::ChosenProcess& chosen) {
  const diffusion::Process trained = stage.process();
  if (chosen.prediction && *chosen.prediction != trained.prediction)
    throw UserError(fmt::format("stage {} was trained to predict {}, not {}.", stage.name,
                                word_of(trained.prediction), word_of(*chosen.prediction)));
  if (chosen.zero_terminal_snr && !trained.zero_terminal_snr)
    throw UserError(fmt::format(
        "stage {} was trained without zero terminal SNR; draw without --zero-terminal-snr.", stage.name));
  return convert::known_process(chosen, trained, "stage " + stage.name);
}

std::string hash_of(const fs::path& path) {
  return fs::is_directory(path) ? features::folder_fingerprint(path) : features::file_fingerprint(path);
}

run::Checkpoint choose_checkpoint(const fs::path& stage_folder, std::optional<int64_t> step) {
  if (!step) {
    const auto search = run::find_checkpoint(stage_folder);
    if (search.newest) return *search.newest;
    Problems problems;
    for (const auto& damaged : search.damaged) problems.add(damaged);
    problems.throw_if_any("no checkpoint in " + stage_folder.string() + " can be used");
    throw UserError("there is no checkpoint in " + stage_folder.string() + ".");
  }
  std::vector<std::string> steps;
  for (const auto& checkpoint : run::list_checkpoints(stage_folder)) {
    if (checkpoint.step == *step) {
      const auto found = run::verify_checkpoint(checkpoint.folder);
      if (!found.is_good())
        throw UserError(
            fmt::format("checkpoint {}: {}", checkpoint.folder.string(), found.text),
            found.verdict == run::Verdict::kUnreadable ? ExitCode::kStorage : ExitCode::kBadInput);
      return checkpoint;
    }
    steps.push_back(std::to_string(checkpoint.step));
  }
  throw UserError(fmt::format("no checkpoint of step {} in {}; existing steps: {}", *step,
                              stage_folder.string(), join(steps, ", ")));
}

}  // namespace

Pipeline Pipeline::open(const PipelineRequest& request) {
  nn::keep_freed_memory();
  Pipeline pipeline;
  pipeline.device_ = nn::select_device(request.device, request.local_rank,
                                       /*needs_gpu=*/request.local_ranks > 1);
  pipeline.state_ =
      std::make_unique<nn::StateDict>(nn::StateDictOptions{.dtype = at::kFloat, .device = pipeline.device_});
  if (const auto checkpoint = as_checkpoint(request)) {
    pipeline.open_run(*checkpoint);
  } else if (fs::exists(run::RunFolder{request.path}.config())) {
    pipeline.open_run(request);
  } else if (!fs::exists(request.path)) {
    throw UserError(
        fmt::format("{} does not exist. Give a run folder, a pipeline folder, or a file of weights.",
                    request.path.string()));
  } else {
    pipeline.open_weights(request);
  }
  pipeline.origin_.path = request.path;
  pipeline.origin_.vae = request.vae;
  pipeline.origin_.text_encoder = request.text_encoder;
  pipeline.origin_.preview_decoder = request.preview_decoder;
  pipeline.origin_.ema = request.ema;
  return pipeline;
}

void Pipeline::begin_hash() const {
  if (!hash_.valid()) hash_ = std::async(std::launch::async, hash_of, origin_.weights).share();
}

const std::string& Pipeline::weights_sha256() const {
  begin_hash();
  return hash_.get();
}

bool Pipeline::has_weights(const std::string& sha256) const {
  if (sha256 == weights_sha256()) return true;
  if (!fs::is_directory(origin_.weights) || sha256 != features::former_folder_fingerprint(origin_.weights))
    return false;
  log::warning(
      "the hash {}... is from an earlier version, which hashed only both ends of each file: {} matches it",
      sha256.substr(0, 12), origin_.weights.string());
  return true;
}

data::FeatureInputs Pipeline::inputs() const {
  data::FeatureInputs inputs = {codec_->input()};
  if (!origin_.preview_decoder.empty()) inputs.front().name = "preview_decoder";
  if (encoder_) inputs.insert(inputs.end(), encoder_->inputs().begin(), encoder_->inputs().end());
  return inputs;
}

// Of the autoencoder itself a preview needs only the config.
void Pipeline::open_codec(const PipelineRequest& request, const fs::path& autoencoder) {
  codec_ = std::make_unique<features::LatentCodec>(
      request.preview_decoder.empty()
          ? features::LatentCodec(models::load_vae(autoencoder, device_), autoencoder)
          : features::load_preview_decoder(request.preview_decoder, models::vae_config_of(autoencoder),
                                           device_));
}

void Pipeline::make_model(const models::TransformerConfig& config) {
  if (config.shape().in_channels != codec_->config().latent_channels)
    throw UserError(
        fmt::format("the autoencoder has latents of {} channels, and the transformer draws {}: give the "
                    "autoencoder that it was trained with.",
                    codec_->config().latent_channels, config.shape().in_channels));
  model_ = std::make_unique<models::Transformer>(
      models::Transformer(nn::Scope(*state_), config).with(features::execution_in(precision_)));
}

void Pipeline::open_encoder(const run::TextEncoderConfig& settings, const fs::path& tokenizer,
                            const fs::path& prompt_cache) {
  encoder_ = std::make_unique<features::PromptFeatures>(
      std::make_shared<const features::CaptionEncoder>(settings, tokenizer, device_),
      features::PromptCache{prompt_cache});
}

void Pipeline::open_run(const PipelineRequest& request) {
  const run::RunFolder folder{request.path};
  run_ = run::read_run_config(folder.config());
  run_.run = request.path;
  stage_ = &choose_stage(run_, folder, request.stage);
  process_ = process_of(*stage_, request.chosen);
  precision_ = request.precision.value_or(stage_->precision);
  nn::set_num_threads(request.threads.value_or(run_.threads), request.local_ranks);
  const auto checkpoint = choose_checkpoint(folder.checkpoints(stage_->name), request.step);
  origin_.stage = stage_->name;
  origin_.step = checkpoint.step;
  origin_.weights = checkpoint.folder / (request.ema ? "ema.safetensors" : "model.safetensors");
  if (request.preview_decoder.empty())
    codec_ = std::make_unique<features::LatentCodec>(features::load_codec(run_, device_));
  else
    open_codec(request, features::autoencoder_folder(run_));
  const auto weights = formats::open_weights(origin_.weights);  // compared with the checkpoint's manifest
  models::ConditionSizes sizes;
  if (stage_->info().reads_captions) {
    run::TextEncoderConfig found = run_.text_encoder;
    if (!found.path) found.path = folder.text_encoder();
    open_encoder(found, {}, request.prompt_cache);
    sizes.text.caption_channels = encoder_->channels();
  }
  if (stage_->info().reads_labels) {
    auto source = run_.source(stage_->parts().front().source);
    source.scores = {};  // they do not change the classes
    class_names_ = data::open_dataset(source, features::index_place(run_))->class_names();
    sizes.labels.num_classes = int64_t(class_names_.size());
  }
  make_model(features::transformer_config(run_, *stage_, codec_->config(), sizes));
  run::add_adapters(*stage_, *state_);
  auto tensors = formats::read_all(weights);
  std::erase_if(tensors, [](const auto& item) { return models::is_alignment_name(item.first); });
  nn::load_state(*state_, tensors, origin_.weights.string());
}

namespace {

struct ModelFiles {
  fs::path transformer, vae, text_encoder, tokenizer;
};

// Hidden files do not count: a run that fails before it begins leaves its lock.
void require_content(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    if (!at->path().filename().string().starts_with('.')) return;
  if (!error)
    throw UserError(fmt::format(
        "{} is empty: it has no run, checkpoint, pipeline or weights. A run that never began has no checkpoint.",
        path.string()));
}

ModelFiles find_files(const PipelineRequest& request) {
  require_content(request.path);
  ModelFiles files{request.path, request.vae, request.text_encoder, {}};
  if (fs::exists(request.path / "model_index.json")) {
    files.transformer = request.path / "transformer";
    if (files.vae.empty()) files.vae = request.path / "vae";
    if (files.text_encoder.empty()) files.text_encoder = request.path / "text_encoder";
    files.tokenizer = request.path / "tokenizer";
  }
  if (files.vae.empty()) files.vae = request.preview_decoder;
  if (files.vae.empty()) {
    convert::open_and_identify(files.transformer);  // throws if the folder has none
    throw UserError(fmt::format("{} has only a transformer: give the folder of an autoencoder with --vae.",
                                request.path.string()));
  }
  return files;
}

}  // namespace

void Pipeline::open_weights(const PipelineRequest& request) {
  const ModelFiles files = find_files(request);
  auto opened = convert::to_official(convert::open_and_identify(files.transformer), files.text_encoder);
  for (const auto& assumption : opened.identity.assumed)
    log::info("{}: assumed: {}", files.transformer.string(), assumption);
  nn::set_num_threads(request.threads.value_or(0), request.local_ranks);
  precision_ = request.precision.value_or(run::Precision::kFloat32);
  origin_.weights = files.transformer;
  open_codec(request, files.vae);
  const auto config = convert::transformer_of(opened.identity, files.transformer.string());
  process_ =
      convert::known_process(request.chosen, request.process ? request.process : opened.identity.process,
                             files.transformer.string());
  if (config.caption_channels() > 0) {
    if (files.text_encoder.empty())
      throw UserError(fmt::format("{} is a {}: give the folder of its T5 encoder with --text-encoder.",
                                  files.transformer.string(), config.kind_name()));
    run_.text_encoder.path = files.text_encoder;
    run_.text_encoder.max_tokens = config.max_tokens();
    open_encoder(run_.text_encoder, files.tokenizer, request.prompt_cache);
  }
  for (int64_t i = 0; i < config.num_classes(); ++i) class_names_.push_back(std::to_string(i));
  make_model(config);
  nn::load_state(*state_, formats::read_all(opened.weights), files.transformer.string());
}

std::vector<int64_t> Pipeline::labels_of(const std::vector<std::string>& prompts) const {
  Problems problems;
  std::vector<int64_t> labels;
  for (const auto& prompt : prompts) {
    const auto found = std::find(class_names_.begin(), class_names_.end(), prompt);
    if (found == class_names_.end())
      problems.add(fmt::format("'{}' is not a class.{}", prompt, did_you_mean(prompt, class_names_)));
    labels.push_back(found - class_names_.begin());
  }
  problems.throw_if_any(fmt::format("this model generates classes ({})", name_some(class_names_)));
  return labels;
}

// Encodes each distinct caption once.
models::Condition Pipeline::captions_of(const std::vector<std::string>& prompts) const {
  std::vector<std::string> distinct;
  std::vector<int64_t> index;
  for (const auto& prompt : prompts) {
    const auto found = std::find(distinct.begin(), distinct.end(), prompt);
    index.push_back(found - distinct.begin());
    if (found == distinct.end()) distinct.push_back(prompt);
  }
  models::Condition condition = condition_of(encoder_->encode(distinct));
  const at::Tensor rows = at::tensor(index, at::kLong).to(condition.caption.device());
  condition.caption = condition.caption.index_select(0, rows);
  condition.mask = condition.mask.index_select(0, rows);
  return condition;
}

int Pipeline::own_side() const {
  return int(model_->config().shape().input_size * codec_->config().downscale());
}

ToDraw Pipeline::what_to_draw(const DrawRequest& request) const {
  if (!encoder_) return {.condition = condition_of(labels_of(request.prompts))};
  ToDraw what{.condition = captions_of(request.prompts)};
  if (!request.negative_prompt.empty()) what.negative = captions_of({request.negative_prompt});
  return what;
}

ImageSize Pipeline::size_of(const DrawRequest& request) const {
  const int own = own_side();
  const ImageSize size{request.height > 0 ? request.height : own, request.width > 0 ? request.width : own};
  if ((size.height != own || size.width != own) && !model_->config().takes_any_size())
    throw UserError(fmt::format(
        "this model generates {0} x {0} pixels; other sizes need PixArt-MS (multi_scale: true).", own));
  const int64_t unit = codec_->config().downscale() * model_->config().shape().patch_size;
  if (size.height % unit != 0 || size.width % unit != 0)
    throw UserError(fmt::format("size {} x {}: height and width must be multiples of {}.", size.height,
                                size.width, unit));
  const std::string problem =
      model_->config().kv_compression().grid_problem(size.height / unit, size.width / unit);
  if (!problem.empty()) throw UserError(fmt::format("size {} x {}: {}.", size.height, size.width, problem));
  return size;
}

data::ControlImage Pipeline::control_image_of(const ControlRequest& control) const {
  if (control.how) return *control.how;
  if (stage_ != nullptr) return stage_->control;
  return {.condition = data::ControlCondition::kCanny};
}

// [1, L, h, w] on the device: the image is resized to cover the size, cut in the centre, and encoded.
at::Tensor Pipeline::control_of(const ControlRequest& control, ImageSize size) const {
  const formats::ReducedImage image = formats::whole(formats::load_image(control.image));
  const Image cut =
      data::control_image(data::cover_and_crop(image, size.height, size.width), control_image_of(control));
  const at::Tensor pixels = data::to_tensor(cut).unsqueeze(0).to(device_);
  at::NoGradGuard no_grad;
  return codec_->normalize(codec_->encode(pixels).mean);
}

void Pipeline::check_control(const ControlRequest& control) const {
  const bool takes_one = model_->config().control_blocks() > 0;
  if (!control.image.empty() && !takes_one)
    throw UserError(fmt::format(
        "{} has no ControlNet: draw without --control, or with the weights of a stage that has the key control.",
        origin_.weights.string()));
  if (control.image.empty() && takes_one)
    log::info("{} has a ControlNet, and is used without it: --control IMAGE gives it an image",
              origin_.weights.string());
  if (!control.image.empty() && !origin_.preview_decoder.empty())
    throw UserError("a control image is encoded by the autoencoder itself: draw without --preview-decoder.");
  if (!control.image.empty()) formats::load_image(control.image);
}

void Pipeline::check(const DrawRequest& request) const {
  if (!encoder_) labels_of(request.prompts);
  size_of(request);
  check_control(request.control);
}

std::vector<Image> Pipeline::generate(const DrawRequest& request, const GenerateOptions& options) const {
  const auto [height, width] = size_of(request);
  const int own = own_side();
  const int64_t scale = codec_->config().downscale();
  ToDraw what = what_to_draw(request);
  what.process = process_;
  what.latent_height = height / scale;
  what.latent_width = width / scale;
  what.aspect_ratio = double(height) / double(width);
  if (!request.control.image.empty()) {
    what.condition.control =
        control_of(request.control, {height, width}).repeat({int64_t(request.prompts.size()), 1, 1, 1});
    what.condition.control_strength = request.control.strength;
  }
  if ((height != own || width != own) && data::has_aspect_buckets(own)) {
    const auto& buckets = data::aspect_buckets(own);
    what.aspect_ratio = buckets[data::nearest_bucket(buckets, height, width)].ratio;
  }
  const nn::AllowTf32 tf32(precision_ == run::Precision::kTf32, device_);
  return sample::generate(*model_, *codec_, what, device_, options);
}

}  // namespace pixart::sample
