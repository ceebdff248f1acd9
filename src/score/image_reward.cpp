#include "image_reward.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "attempt.h"
#include "blip_text.h"
#include "card_parts.h"
#include "clip_pixels.h"
#include "clip_scores.h"
#include "pixart/formats/hash.h"
#include "tensor_hash.h"

namespace pixart::score {
namespace fs = std::filesystem;

BlipTokens blip_tokens(const text::BertTokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<std::vector<int64_t>> rows;
  BlipTokens tokens;
  size_t longest = 0;
  for (const auto& text : texts) {
    rows.push_back(tokenizer.encode(text));
    if (int64_t(rows.back().size()) > kBlipTokens) {
      rows.back() = tokenizer.encode(text, kBlipTokens);
      ++tokens.num_cut;
    }
    longest = std::max(longest, rows.back().size());
  }
  const auto count = int64_t(rows.size()), length = int64_t(longest);
  tokens.ids = at::zeros({count, length}, at::kLong), tokens.mask = at::zeros({count, length}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    const auto& row = rows[size_t(i)];
    std::copy(row.begin(), row.end(), tokens.ids.data_ptr<int64_t>() + i * length);
    std::fill_n(tokens.mask.data_ptr<int64_t>() + i * length, row.size(), 1);
  }
  return tokens;
}

namespace {

// Of ImageReward's scores before the normalisation, as its package has them.
constexpr double kRewardMean = 0.16717362830052426, kRewardDeviation = 1.0333394966054072;

std::string tokenizer_of(const ScoreRequest& request) {
  return (request.image_reward_tokenizer.empty() ? request.image_reward.parent_path() / ""
                                                 : request.image_reward_tokenizer)
      .string();
}

void open_weights_of(const ScoreRequest& request, ImageRewardInputs& inputs, Problems& problems) {
  const std::string subject = request.image_reward.string();
  std::optional<models::BlipConfig> config;
  attempt(problems, [&] {
    const auto weights = formats::open_weights(request.image_reward);
    inputs.encoders = formats::part_below(weights, "blip.");
    config = models::check_blip_encoders(*inputs.encoders, subject);
    inputs.head.emplace(formats::part_below(weights, "mlp."), subject);
  });
  if (inputs.head && inputs.head->width() != config->text.width)
    problems.add(fmt::format("{}: its head is for {} channels, and its text encoder has {}", subject,
                             inputs.head->width(), config->text.width));
  if (config && config->text.max_tokens < kBlipTokens)
    problems.add(fmt::format("{} reads {} tokens, and prompts have up to {}", subject,
                             config->text.max_tokens, kBlipTokens));
  attempt(problems, [&] { inputs.tokenizer.emplace(tokenizer_of(request)); });
  if (config && inputs.tokenizer && inputs.tokenizer->vocab_size() > config->text.vocab_size)
    problems.add(fmt::format(
        "the tokenizer in {} has {} tokens, and the model in {} only {}: they do not belong together",
        tokenizer_of(request), inputs.tokenizer->vocab_size(), subject, config->text.vocab_size));
}

}  // namespace

ImageRewardInputs open_image_reward(const std::optional<ImageList>& images, const ScoreRequest& request,
                                    const std::vector<std::string>& prompts, Problems& problems) {
  ImageRewardInputs inputs;
  if (!wants(request, Metric::kImageReward)) return inputs;
  if (request.image_reward.empty())
    problems.add("weights of image-reward are missing (--image-reward): ImageReward.pt of ImageReward-v1.0");
  else
    open_weights_of(request, inputs, problems);
  const bool are_read = std::any_of(request.metrics.begin(), request.metrics.end(), needs_prompts);
  if (are_read)
    inputs.prompts = prompts;
  else if (images)
    attempt(problems, [&] { inputs.prompts = prompts_of(*images, request, problems); });
  return inputs;
}

ImageRewardScores image_reward_scores(const ImageList& images, const ImageRewardInputs& inputs,
                                      const ScoreRequest& request, c10::Device device) {
  ImageRewardScores result;
  if (!wants(request, Metric::kImageReward)) return result;
  const at::NoGradGuard no_grad;
  const auto blip = models::load_blip_encoders(*inputs.encoders, request.image_reward.string(), device);
  const int side = int(blip.model->config().vision.image_size);
  std::vector<at::Tensor> rows;
  int64_t done = 0, num_cut = 0;
  const auto use = [&](const at::Tensor& batch) {
    const auto first = inputs.prompts.begin() + done;
    const auto tokens = blip_tokens(*inputs.tokenizer, {first, first + batch.size(0)});
    done += batch.size(0), num_cut += tokens.num_cut;
    const at::Tensor states = blip.model->text_states(tokens.ids.to(device), tokens.mask.to(device),
                                                      blip.model->image_states(batch.to(device)));
    rows.push_back(((*inputs.head)(states.select(1, 0)) - kRewardMean) / kRewardDeviation);
    if (!rows.back().isfinite().all().item<bool>())
      throw UserError("ImageReward's results are not finite: its weights are damaged, or others.",
                      ExitCode::kNumerics);
  };
  result.images_sha256 = for_each_batch(
      images, side,
      [&](const Image& image) { return clip_input(clip_pixels(image, ClipPixels::kCrop, side)); },
      request.batch_size, use);
  const at::Tensor scores = at::cat(rows);
  result.values = {{"image_reward", scores.mean().item<double>()},
                   {"image_reward_deviation", scores.std(/*unbiased=*/false).item<double>()}};
  if (num_cut > 0)
    result.notes.push_back(fmt::format("{} of {} prompts have more than {} tokens, and were cut.", num_cut,
                                       inputs.prompts.size(), kBlipTokens));
  result.protocol = {{kWeightsHash, hash_of_state(*blip.state)},
                     {"head_sha256", inputs.head->sha256()},
                     {"side", side},
                     {"pixels", kCropPixels},
                     {"prompts_sha256", hash_of_prompts(inputs.prompts)}};
  return result;
}

}  // namespace pixart::score
