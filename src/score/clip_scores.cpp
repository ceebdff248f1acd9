#include "clip_scores.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "attempt.h"
#include "card_parts.h"
#include "clip_pixels.h"
#include "pixart/base/file.h"
#include "pixart/base/names.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "tensor_hash.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr uint64_t kLargestPrompts = uint64_t{1} << 28;

}  // namespace

std::vector<std::string> prompts_of(const ImageList& images, const ScoreRequest& request,
                                    Problems& problems) {
  std::vector<std::string> prompts;
  if (!request.prompts.empty()) {
    const std::string text = read_file(request.prompts, kLargestPrompts);
    refuse_utf16(text, request.prompts.string());
    prompts = lines_of(text);
    while (!prompts.empty() && prompts.back().empty()) prompts.pop_back();
    // The first images have the first lines; for all images a line too many shifts prompts as one too few does.
    const int64_t lines = int64_t(prompts.size());
    if (lines < images.size || (lines > images.size && request.num_images == 0))
      problems.add(
          fmt::format("{} has {} lines for {} images; each image needs its prompt, in the order of the "
                      "images' names",
                      request.prompts.string(), lines, images.size));
    for (int64_t i = 0; i < std::min(lines, images.size); ++i)
      if (prompts[size_t(i)].empty())
        problems.add(fmt::format("{} line {} is empty", request.prompts.string(), i + 1));
    prompts.resize(size_t(images.size));
    return prompts;
  }
  for (int64_t i = 0; i < images.size; ++i) {
    prompts.push_back(images.prompt ? images.prompt(i) : "");
    if (prompts.back().empty())
      problems.add(
          fmt::format("{}: image {} has no prompt: give a caption next to it, or --prompts", images.name, i));
  }
  return prompts;
}

std::string hash_of_prompts(const std::vector<std::string>& prompts) {
  formats::Sha256 hash;
  for (const auto& prompt : prompts) hash.add(prompt + "\n");
  return hash.hex();
}

namespace {

struct ClipNetwork {
  models::LoadedClip clip;
  c10::Device device;
  int64_t batch_size;
  int side() const { return int(clip.model->config().image_size); }
};

struct Embedded {
  at::Tensor rows = {};  // [N, D] normalised
  std::string sha256 = {};
};

Embedded embed(const ImageList& images, const std::function<std::vector<float>(const Image&)>& prepare,
               const ClipNetwork& network) {
  std::vector<at::Tensor> rows;
  const std::string hash =
      for_each_batch(images, network.side(), prepare, network.batch_size, [&](const at::Tensor& batch) {
        rows.push_back(normalized_rows(network.clip.model->image_features(batch.to(network.device))));
      });
  return {.rows = at::cat(rows), .sha256 = hash};
}

Embedded embed(const ImageList& images, ClipPixels rule, const ClipNetwork& network) {
  const int side = network.side();
  return embed(
      images, [&](const Image& image) { return clip_input(clip_pixels(image, rule, side)); }, network);
}

at::Tensor embed(const std::vector<std::string>& prompts, const text::ClipTokenizer& tokenizer,
                 text::ClipCleaning cleaning, const ClipNetwork& network, ClipScores& result) {
  const auto& config = network.clip.model->config();
  const auto tokens = tokenizer.encode_batch(prompts, config.max_tokens, cleaning);
  const auto cut = std::count_if(tokens.uncut.begin(), tokens.uncut.end(),
                                 [&](int64_t length) { return length > config.max_tokens; });
  if (cut > 0)
    result.notes.push_back(fmt::format("{} of {} prompts have more than {} tokens, and were cut.", cut,
                                       prompts.size(), config.max_tokens));
  std::vector<at::Tensor> rows;
  for (const auto& ids : tokens.ids.split(network.batch_size))
    rows.push_back(normalized_rows(network.clip.model->text_features(ids.to(network.device))));
  return at::cat(rows);
}

// `texts`: embeddings of the prompts as openai/CLIP cleans them.
void add_text_scores(const at::Tensor& images, const at::Tensor& texts, const ClipInputs& inputs,
                     const ClipNetwork& network, const ScoreRequest& request, ClipScores& result) {
  if (wants(request, Metric::kClip)) {
    const auto similarity = clip_similarity(images, texts);
    result.values.emplace_back("clip_cosine", similarity.cosine);
    result.values.emplace_back("clip_x100", similarity.x100);
    result.values.emplace_back("clip_x2.5", similarity.x2_5);
  }
  if (wants(request, Metric::kPickscore)) {
    const auto of_pickscore =
        embed(inputs.prompts, *inputs.tokenizer, text::ClipCleaning::kHuggingFace, network, result);
    result.values.emplace_back(
        "pickscore", network.clip.model->logit_scale() * clip_similarity(images, of_pickscore).cosine);
  }
}

void add_hpsv2(const ImageList& images, const at::Tensor& texts, const ClipNetwork& network,
               ClipScores& result) {
  constexpr int64_t kPublishedEmbedding = 1024;
  const int side = network.side();
  const auto embedded = embed(
      images, [&](const Image& image) { return hpsv2_input(image, side); }, network);
  result.values.emplace_back("hpsv2", 100 * clip_similarity(embedded.rows, texts).cosine);
  result.images_sha256 = embedded.sha256;
  result.protocol["hpsv2_pixels"] = "longer side bicubic with antialiasing, zeros around";
  if (network.clip.model->config().embedding != kPublishedEmbedding)
    result.notes.push_back("published HPSv2 are of a CLIP ViT-H/14; this model is another one");
}

void add_aesthetic(const at::Tensor& images, const AestheticHead& head, const ScoreRequest& request,
                   ClipScores& result) {
  const at::Tensor scores = head(images);
  result.values.emplace_back("aesthetic", scores.mean().item<double>());
  result.values.emplace_back("aesthetic_deviation", scores.std(/*unbiased=*/false).item<double>());
  result.protocol["aesthetic_head_sha256"] = formats::sha256_of_file(request.aesthetic_head);
}

void add_cmmd(const ImageList& images, const ImageList& reference, const ClipNetwork& network,
              ClipScores& result) {
  constexpr int kPublishedSide = 336;
  const auto own = embed(images, ClipPixels::kSquare, network);
  const auto other = embed(reference, ClipPixels::kSquare, network);
  result.values.emplace_back("cmmd", cmmd(own.rows, other.rows));
  result.images_sha256 = own.sha256, result.reference_sha256 = other.sha256;
  result.protocol["cmmd_pixels"] = kCmmdPixels;
  if (network.side() != kPublishedSide)
    result.notes.push_back(fmt::format(
        "published CMMDs are of clip-vit-large-patch14-336; this model sees {} pixels", network.side()));
}

}  // namespace

bool wants(const ScoreRequest& request, Metric metric) { return contains(request.metrics, metric); }

bool needs_prompts(Metric metric) {
  return metric == Metric::kClip || metric == Metric::kPickscore || metric == Metric::kHpsv2;
}

bool uses_clip(Metric metric) {
  return needs_prompts(metric) || metric == Metric::kCmmd || metric == Metric::kAesthetic;
}

fs::path tokenizer_folder(const ScoreRequest& request) {
  return request.clip_tokenizer.empty() ? text::clip_tokenizer_folder(request.clip) : request.clip_tokenizer;
}

namespace {

// What the options lack.
void check_options(const ScoreRequest& request, Problems& problems) {
  const bool has_clip = std::any_of(request.metrics.begin(), request.metrics.end(), uses_clip);
  if (has_clip && request.clip.empty())
    problems.add("a CLIP model is missing (--clip): the folder of a published model with config.json");
  if (wants(request, Metric::kAesthetic) && request.aesthetic_head.empty())
    problems.add(
        "the aesthetic head is missing (--aesthetic-head): sac+logos+ava1-l14-linearMSE.pth of LAION");
}

void check_together(const ClipInputs& inputs, const ScoreRequest& request, Problems& problems) {
  if (!inputs.config) return;
  if (inputs.tokenizer && inputs.tokenizer->vocab_size() > inputs.config->vocab_size)
    problems.add(fmt::format(
        "the tokenizer in {} has {} tokens, and the model in {} only {}: they do not belong together",
        tokenizer_folder(request).string(), inputs.tokenizer->vocab_size(), request.clip.string(),
        inputs.config->vocab_size));
  if (inputs.head && inputs.head->width() != inputs.config->embedding)
    problems.add(
        fmt::format("{} is for embeddings of {} channels, and the model in {} gives {}. LAION's heads "
                    "are for CLIP ViT-L/14",
                    request.aesthetic_head.string(), inputs.head->width(), request.clip.string(),
                    inputs.config->embedding));
}

}  // namespace

ClipInputs open_clip(const std::optional<ImageList>& images, const ScoreRequest& request,
                     Problems& problems) {
  ClipInputs inputs;
  if (std::none_of(request.metrics.begin(), request.metrics.end(), uses_clip)) return inputs;
  check_options(request, problems);
  const bool has_folder = !request.clip.empty();
  if (has_folder) attempt(problems, [&] { inputs.config = models::check_clip_folder(request.clip); });
  if (std::any_of(request.metrics.begin(), request.metrics.end(), needs_prompts)) {
    std::error_code error;  // a model's folder that is not there is one problem, and no second one
    if (!request.clip_tokenizer.empty() || fs::is_directory(request.clip, error))
      attempt(problems, [&] { inputs.tokenizer.emplace(tokenizer_folder(request)); });
    if (images) attempt(problems, [&] { inputs.prompts = prompts_of(*images, request, problems); });
  }
  if (wants(request, Metric::kAesthetic) && !request.aesthetic_head.empty())
    attempt(problems, [&] { inputs.head.emplace(request.aesthetic_head); });
  check_together(inputs, request, problems);
  return inputs;
}

ClipScores clip_scores(const ImageList& images, const std::optional<ImageList>& reference,
                       const ClipInputs& inputs, const ScoreRequest& request, c10::Device device) {
  ClipScores result;
  if (std::none_of(request.metrics.begin(), request.metrics.end(), uses_clip)) return result;
  const at::NoGradGuard no_grad;
  const ClipNetwork network{models::load_clip(request.clip, device), device, request.batch_size};
  result.protocol = protocol_of_clip(hash_of_state(*network.clip.state), network.clip.model->config());
  if (wants(request, Metric::kCmmd)) add_cmmd(images, *reference, network, result);
  at::Tensor texts;
  if (std::any_of(request.metrics.begin(), request.metrics.end(), needs_prompts)) {
    result.protocol["prompts_sha256"] = hash_of_prompts(inputs.prompts);
    if (wants(request, Metric::kClip) || wants(request, Metric::kHpsv2))
      texts = embed(inputs.prompts, *inputs.tokenizer, text::ClipCleaning::kOpenAi, network, result);
  }
  if (wants(request, Metric::kHpsv2)) add_hpsv2(images, texts, network, result);
  const auto of_crop = [](Metric metric) {
    return uses_clip(metric) && metric != Metric::kCmmd && metric != Metric::kHpsv2;
  };
  if (std::none_of(request.metrics.begin(), request.metrics.end(), of_crop)) return result;
  const auto embedded = embed(images, ClipPixels::kCrop, network);
  result.images_sha256 = embedded.sha256;
  result.protocol["pixels"] = kCropPixels;
  add_text_scores(embedded.rows, texts, inputs, network, request, result);
  if (inputs.head) add_aesthetic(embedded.rows, *inputs.head, request, result);
  return result;
}

}  // namespace pixart::score
