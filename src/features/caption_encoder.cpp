#include "pixart/features/caption_encoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "pixart/base/claim.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/leftovers.h"
#include "pixart/base/log.h"
#include "pixart/features/file_fingerprint.h"
#include "pixart/nn/device.h"
#include "pixart/nn/layers.h"
#include "pixart/run/run_folder.h"
#include "pixart/text/clean_caption.h"
#include "shared_work.h"

namespace pixart::features {
namespace fs = std::filesystem;

std::vector<std::string> cleaned(const std::vector<std::string>& captions, bool by_released_rules) {
  std::vector<std::string> result;
  for (const auto& caption : captions)
    result.push_back(by_released_rules ? text::clean_caption_twice(caption) : text::plain_caption(caption));
  return result;
}

CaptionEncoder::CaptionEncoder(run::TextEncoderConfig config, fs::path tokenizer, at::Device device)
    : config_(std::move(config)),
      tokenizer_folder_(std::move(tokenizer)),
      device_(device),
      channels_(models::read_t5_config(*config_.path / "config.json").d_model) {}

const data::FeatureInputs& CaptionEncoder::inputs() const {
  if (inputs_.empty()) inputs_ = caption_encoder_inputs(config_, tokenizer_folder_);
  return inputs_;
}

namespace {

int64_t count_longer(const std::vector<int64_t>& lengths, int64_t most) {
  return std::count_if(lengths.begin(), lengths.end(), [most](int64_t own) { return own > most; });
}

std::vector<int64_t> lengths_of(const at::Tensor& mask) {  // [B, T] on the CPU
  const at::Tensor sums = mask.sum(1);
  const auto* first = sums.const_data_ptr<int64_t>();
  return {first, first + sums.numel()};
}

}  // namespace

TokenizedText CaptionEncoder::tokenize(const std::vector<std::string>& captions) const {
  load();
  const auto tokens = tokenizer().encode_batch(cleaned(captions, config_.clean_captions), max_tokens());
  return {.ids = tokens.ids,
          .mask = tokens.mask,
          .lengths = lengths_of(tokens.mask),
          .num_cut = count_longer(tokens.uncut, max_tokens())};
}

int64_t CaptionEncoder::padded_length(int64_t longest, Padding padding) const {
  const bool is_short = padding == Padding::kShortOnGpu && !device_.is_cpu();
  return is_short ? nn::padded_length(longest, max_tokens()) : max_tokens();
}

at::Tensor CaptionEncoder::encode(const at::Tensor& ids, const at::Tensor& mask) const {
  at::NoGradGuard no_grad;
  load();
  return loaded_->encoder->forward(ids, mask).to(at::kFloat) * mask.unsqueeze(-1);
}

EncodedText CaptionEncoder::encode(const std::vector<std::string>& captions, Padding padding) const {
  TokenizedText tokens = tokenize(captions);
  const int64_t longest = tokens.lengths.empty() ? 1 : std::ranges::max(tokens.lengths),
                length = padded_length(longest, padding);
  const auto cut = [&](const at::Tensor& tensor) {
    return nn::on_device(tensor.narrow(1, 0, length).contiguous(), device_);
  };
  EncodedText text{.features = {},
                   .mask = cut(tokens.mask),
                   .num_cut = tokens.num_cut,
                   .lengths = std::move(tokens.lengths)};
  text.features = encode(cut(tokens.ids), text.mask);
  return text;
}

int64_t CaptionEncoder::num_cut(const std::vector<std::string>& captions) const {
  const auto texts = cleaned(captions, config_.clean_captions);
  return count_longer(tokenizer().encode_batch(texts, max_tokens()).uncut, max_tokens());
}

namespace {

// Makes the tokenizer of a random encoder in its folder: a copy of the named one, or one of the captions' pieces.
void add_tokenizer(const run::TextEncoderConfig& settings, const std::vector<std::string>& texts,
                   const fs::path& folder) {
  constexpr uint64_t kLargestTokenizer = uint64_t{64} << 20;
  if (!settings.tokenizer) return text::train_tokenizer(texts, settings.vocabulary, folder / "spiece.model");
  const fs::path& named = *settings.tokenizer;
  const text::Tokenizer readable(named);
  const fs::path file = fs::is_directory(named) ? *text::tokenizer_file(named) : named;
  const bool is_json = file.extension() == ".json";
  write_file_atomically(folder / (is_json ? "tokenizer.json" : "spiece.model"),
                        read_file(file, kLargestTokenizer));
}

void make_random_encoder(const run::RunConfig& config, const std::vector<std::string>& captions) {
  const auto& settings = config.text_encoder;
  const fs::path folder = run::RunFolder{config.run}.text_encoder();
  const auto texts = cleaned(captions, settings.clean_captions);
  if (texts.empty())
    throw UserError("no source of this run has captions to make a tokenizer from: set text_encoder.path.");
  // Our folders are complete or missing: a folder without config.json was not made by pixart.
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder)))
    throw UserError(
        fmt::format("{} is not a text encoder (config.json is missing) and is not replaced. Move it away, or "
                    "set text_encoder.path.",
                    folder.string()));
  StagedFolder staged(folder);
  add_tokenizer(settings, texts, staged.path());
  models::T5Config t5{settings.size};
  t5.vocab_size = text::Tokenizer(staged.path()).vocab_size();
  t5.d_kv = t5.d_model / t5.num_heads;
  nn::StateDict state;
  models::T5Encoder encoder(nn::Scope(state), t5);
  models::initialize(state, t5, uint64_t(config.seed), settings.position_bias_std);
  models::save_t5(staged.path(), encoder, state);
  staged.commit();
  log::info("text encoder: {} layers of width {}, fixed random weights, a vocabulary of {} tokens ({})",
            t5.num_layers, t5.d_model, t5.vocab_size, folder.string());
}

std::string tokenizer_fingerprint(const fs::path& folder) {
  const auto file = text::tokenizer_file(folder);
  return file ? file_fingerprint(*file) : std::string("none");
}

}  // namespace

CaptionEncoder open_caption_encoder(const run::RunConfig& config, at::Device device,
                                    const std::function<std::vector<std::string>()>& captions) {
  const auto& settings = config.text_encoder;
  const fs::path folder = settings.path ? *settings.path : run::RunFolder{config.run}.text_encoder();
  if (!settings.path && !fs::exists(folder / "config.json")) {
    create_folders(config.run);
    // Processes that extract together make only one.
    std::optional<Claim> claim;
    blame_silent_rank([&] {
      claim.emplace(Claim::wait_for(config.run / ".text_encoder.lock", folder, shared_with_ranks()));
    });
    remove_leftovers(config.run,
                     {.folders = {"text_encoder"},
                      .in_folders = all_but({R"(spiece\.(model|vocab))", R"(tokenizer\.json)",
                                             R"(config\.json)", R"(model(-[0-9]+-of-[0-9]+)?\.safetensors)",
                                             R"(model\.safetensors\.index\.json)"})});
    if (!fs::exists(folder / "config.json")) make_random_encoder(config, captions());
  }
  run::TextEncoderConfig found = settings;
  found.path = folder;
  return {std::move(found), {}, device};
}

namespace {

std::optional<at::ScalarType> scalar_type(run::EncoderDtype dtype) {
  switch (dtype) {
    case run::EncoderDtype::kStored:
      return std::nullopt;
    case run::EncoderDtype::kFloat32:
      return at::kFloat;
    case run::EncoderDtype::kBFloat16:
      return at::kBFloat16;
  }
  return std::nullopt;
}

}  // namespace

data::FeatureInputs caption_encoder_inputs(const run::TextEncoderConfig& settings,
                                           const fs::path& tokenizer) {
  const fs::path folder = *settings.path;
  return {
      folder_input("text_encoder", folder),
      {"tokenizer", tokenizer_fingerprint(tokenizer.empty() ? text::tokenizer_folder(folder) : tokenizer)},
      {"max_tokens", std::to_string(settings.max_tokens)},
      {"caption_cleaning", settings.clean_captions ? "released rules, twice" : "lower case, stripped"},
      {"encoder_dtype", word_of(settings.dtype)}};
}

const text::Tokenizer& CaptionEncoder::tokenizer() const {
  if (!tokenizer_)
    tokenizer_ = std::make_unique<const text::Tokenizer>(
        tokenizer_folder_.empty() ? text::tokenizer_folder(*config_.path) : tokenizer_folder_);
  return *tokenizer_;
}

void CaptionEncoder::load() const {
  if (has_loaded()) return;
  const fs::path folder = *config_.path;
  auto t5 = models::load_t5(folder, device_, scalar_type(config_.dtype));
  if (tokenizer().vocab_size() > t5.encoder->config().vocab_size)
    throw UserError(
        fmt::format("{}: its tokenizer has {} tokens, its embedding only {}. They are not of one model.",
                    folder.string(), tokenizer().vocab_size(), t5.encoder->config().vocab_size));
  t5.encoder->prepare(max_tokens());
  loaded_ = std::make_unique<const models::LoadedT5>(std::move(t5));
  log::info("text encoder: loaded {}", folder.string());
}

at::ScalarType CaptionEncoder::dtype() const {
  load();
  return loaded_->state->options().dtype;
}

}  // namespace pixart::features
