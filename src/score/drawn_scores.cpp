#include "pixart/score/drawn_scores.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "card_parts.h"
#include "drawn_state.h"
#include "metrics.h"
#include "pixart/base/parallel.h"
#include "pixart/formats/hash.h"
#include "pixart/text/clip_tokenizer.h"

namespace pixart::score {

namespace {

constexpr int64_t kPromptBatch = 32;  // of prompts
const KidOptions kKid = {};

// The parts of a row, in this order.
struct Columns {
  int64_t features = 0, square = 0, crop = 0;
  int64_t all() const { return features + square + crop; }
};

Columns columns_of(const DrawnScoresConfig& config, const DrawnNetworks& networks) {
  return {.features = config.uses_inception() ? kFeatures : 0,
          .square = config.wants(Metric::kCmmd) ? networks.clip_width() : 0,
          .crop = config.reads_crops() ? networks.clip_width() : 0};
}

using Prepare = std::function<std::vector<float>(const Image&)>;

// [N, 3, side, side], on as many threads as LibTorch has here.
at::Tensor inputs_of(const std::vector<Image>& images, int64_t side, const Prepare& prepare) {
  at::Tensor batch = at::empty({int64_t(images.size()), 3, side, side}, at::kFloat);
  const int64_t size = 3 * side * side;
  for_each_in_parallel(
      int64_t(images.size()),
      [&](int64_t i) {
        const auto planes = prepare(images[size_t(i)]);
        PIXART_CHECK(int64_t(planes.size()) == size);
        std::copy(planes.begin(), planes.end(), batch.data_ptr<float>() + i * size);
      },
      at::get_num_threads());
  return batch;
}

at::Tensor embed(const std::vector<std::string>& prompts, const text::ClipTokenizer& tokenizer,
                 text::ClipCleaning cleaning, const DrawnNetworks& networks,
                 const std::function<void()>& progress, std::vector<std::string>& notes) {
  const at::NoGradGuard no_grad;
  const auto& config = networks.clip->model->config();
  const auto tokens = tokenizer.encode_batch(prompts, config.max_tokens, cleaning);
  const auto cut = std::count_if(tokens.uncut.begin(), tokens.uncut.end(),
                                 [&](int64_t length) { return length > config.max_tokens; });
  if (cut > 0)
    notes.push_back(fmt::format("{} of {} prompts have more than {} tokens, and were cut.", cut,
                                prompts.size(), config.max_tokens));
  std::vector<at::Tensor> rows;
  for (const auto& ids : tokens.ids.split(kPromptBatch)) {
    progress();
    const AllFloat32 all_float32;
    rows.push_back(normalized_rows(networks.clip->model->text_features(ids.to(networks.device))));
  }
  return at::cat(rows);
}

using Values = std::vector<std::pair<std::string, double>>;

void add_distances(const at::Tensor& rows, const DrawnScoresConfig& config,
                   const ReferenceFeatures& reference, const std::function<void()>& progress,
                   Values& values) {
  if (config.wants(Metric::kFid)) {
    progress();
    Moments moments;
    moments.add(rows);
    values.emplace_back("fid", frechet_distance(moments.statistics(), *reference.statistics));
  }
  if (config.wants(Metric::kKid)) {
    const auto kid = kernel_distance(rows, reference.rows, kKid, [&](int64_t) { progress(); });
    values.emplace_back("kid", kid.mean);
    values.emplace_back("kid_deviation", kid.deviation);
  }
  if (config.wants(Metric::kPrecisionRecall)) {
    progress();
    const auto both = precision_recall(rows, reference.rows, kDrawnNeighbours, reference.radii, progress);
    values.emplace_back("precision", both.precision);
    values.emplace_back("recall", both.recall);
  }
}

void add_scores_of_crops(const at::Tensor& rows, const DrawnScoresConfig& config, const PromptRows& prompts,
                         double logit_scale, const std::optional<AestheticHead>& head, Values& values) {
  if (config.wants(Metric::kClip)) {
    const auto similarity = clip_similarity(rows, prompts.open_ai);
    values.emplace_back("clip_cosine", similarity.cosine);
    values.emplace_back("clip_x100", similarity.x100);
    values.emplace_back("clip_x2.5", similarity.x2_5);
  }
  if (config.wants(Metric::kAesthetic)) {
    const at::Tensor scores = (*head)(rows);
    values.emplace_back("aesthetic", scores.mean().item<double>());
    values.emplace_back("aesthetic_deviation", scores.std(/*unbiased=*/false).item<double>());
  }
  if (config.wants(Metric::kPickscore))
    values.emplace_back("pickscore", logit_scale * clip_similarity(rows, prompts.hugging_face).cosine);
}

void add_notes(int64_t count, const DrawnScoresConfig& config, const ReferenceFeatures& reference,
               std::vector<std::string>& notes) {
  const int64_t fewest = reference.count > 0 ? std::min(count, reference.count) : count;
  if (config.wants(Metric::kFid) && fewest < kFewImages)
    notes.push_back(fmt::format(
        "FID is biased: it grows when images are fewer, and {} are few. Compare it only with FIDs "
        "of as many images.",
        fewest));
  if (config.compares() && !reference.says_resize)
    notes.push_back(
        "The statistics of the reference do not say how its images were resized. Statistics of clean-fid go "
        "with clean, of pytorch-fid with pytorch, of ADM with tensorflow.");
}

}  // namespace

DrawnScores::DrawnScores(DrawnScoresConfig config, c10::Device device) {
  auto networks = open_networks(config, device);
  state_ = std::make_unique<State>(State{.config = std::move(config), .networks = std::move(networks)});
  if (!state_->config.wants(Metric::kAesthetic)) return;
  state_->head.emplace(state_->config.aesthetic_head);
  state_->head_sha256 = formats::sha256_of_file(state_->config.aesthetic_head);
}

DrawnScores::~DrawnScores() = default;

int64_t DrawnScores::width() const { return columns_of(state_->config, state_->networks).all(); }

DrawnRows DrawnScores::rows(const std::vector<Image>& images) const {
  const auto& [config, networks] = std::tie(state_->config, state_->networks);
  const Columns columns = columns_of(config, networks);
  std::vector<at::Tensor> parts;
  if (columns.features > 0)
    parts.push_back(networks.features(inputs_of(
        images, kInceptionSide, [&](const Image& image) { return inception_input(image, config.resize); })));
  const auto embedded = [&](ClipPixels rule) {
    const int side = networks.clip_side();
    return networks.embeddings(
        inputs_of(images, side, [&](const Image& image) { return clip_input(image, rule, side); }));
  };
  if (columns.square > 0) parts.push_back(embedded(ClipPixels::kSquare));
  if (columns.crop > 0) parts.push_back(embedded(ClipPixels::kCrop));
  DrawnRows result{.rows = at::cat(parts, 1)};
  for (const auto& image : images) result.hashes.push_back(image_hash(image));
  return result;
}

void DrawnScores::open_reference(const std::filesystem::path& cache, const std::function<void()>& progress) {
  if (!state_->config.compares()) return;
  const at::NoGradGuard no_grad;
  auto reference = reference_features(state_->config, state_->networks, cache, progress);
  if (state_->config.wants(Metric::kPrecisionRecall))
    reference.radii = squared_radii(reference.rows, kDrawnNeighbours, progress);
  if (state_->config.wants(Metric::kCmmd)) reference.mean_kernel = mean_kernel(reference.squares, progress);
  state_->reference = std::move(reference);
}

void DrawnScores::set_prompts(const std::vector<std::string>& prompts,
                              const std::function<void()>& progress) {
  const auto& config = state_->config;
  if (!config.reads_prompts()) return;
  const text::ClipTokenizer tokenizer(config.clip_tokenizer.empty() ? text::clip_tokenizer_folder(config.clip)
                                                                    : config.clip_tokenizer);
  PromptRows rows;
  formats::Sha256 hash;
  for (const auto& prompt : prompts) hash.add(prompt + "\n");
  rows.sha256 = hash.hex();
  const auto embedded = [&](text::ClipCleaning cleaning) {
    return embed(prompts, tokenizer, cleaning, state_->networks, progress, rows.notes);
  };
  if (config.wants(Metric::kClip)) rows.open_ai = embedded(text::ClipCleaning::kOpenAi);
  if (config.wants(Metric::kPickscore)) rows.hugging_face = embedded(text::ClipCleaning::kHuggingFace);
  state_->prompts = std::move(rows);
}

DrawnValues DrawnScores::values(const at::Tensor& rows, const std::function<void()>& progress) const {
  const auto& config = state_->config;
  const Columns columns = columns_of(config, state_->networks);
  PIXART_CHECK(rows.dim() == 2 && rows.size(1) == columns.all(), "rows of {} numbers", rows.size(1));
  const at::NoGradGuard no_grad;
  DrawnValues result;
  add_distances(rows.narrow(1, 0, columns.features), config, state_->reference, progress, result.values);
  if (columns.square > 0) {
    progress();
    const auto& [squares, within] = std::tie(state_->reference.squares, state_->reference.mean_kernel);
    result.values.emplace_back(
        "cmmd", cmmd(rows.narrow(1, columns.features, columns.square), squares, within, progress));
  }
  if (columns.crop > 0)
    add_scores_of_crops(rows.narrow(1, columns.features + columns.square, columns.crop), config,
                        state_->prompts, state_->networks.clip->model->logit_scale(), state_->head,
                        result.values);
  require_finite(result.values);
  result.notes = state_->prompts.notes;
  add_notes(rows.size(0), config, state_->reference, result.notes);
  return result;
}

}  // namespace pixart::score
