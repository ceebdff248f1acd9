#include "compbench_clip.h"

#include <ATen/ATen.h>

#include "attempt.h"
#include "card_parts.h"
#include "clip_metrics.h"
#include "clip_pixels.h"
#include "pixart/base/env.h"
#include "pixart/base/prefetch.h"
#include "pixart/models/clip.h"
#include "pixart/nn/device.h"
#include "pixart/text/clip_tokenizer.h"
#include "tensor_hash.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

fs::path folder_of(const fs::path& clip, const fs::path& tokenizer) {
  return tokenizer.empty() ? text::clip_tokenizer_folder(clip) : tokenizer;
}

struct PromptNetwork {
  models::LoadedClip clip;
  text::ClipTokenizer tokenizer;
  c10::Device device;
  int side() const { return int(clip.model->config().image_size); }
};

struct PromptPixels {
  std::vector<float> planes = {};
  std::string problem = {};
};

PromptPixels read_pixels(const fs::path& file, int side) {
  try {
    return {.planes = clip_input(clip_crop(file, side))};
  } catch (const UserError& failure) {
    if (failure.code() != ExitCode::kBadInput) throw;
    return {.problem = failure.what()};
  }
}

// [N, 3, side, side] of all images, read on several threads.
at::Tensor read_images(const std::vector<ClipQuestion>& questions, int side) {
  size_t begun = 0;
  Prefetch<size_t, PromptPixels> images(
      physical_cores(), int64_t(questions.size()),
      [&] { return begun < questions.size() ? std::optional<size_t>(begun++) : std::nullopt; },
      [&](const size_t& i) { return read_pixels(questions[i].image, side); });
  at::Tensor pixels = at::empty({int64_t(questions.size()), 3, side, side}, at::kFloat);
  auto* to = pixels.data_ptr<float>();
  Problems problems;
  while (auto image = images.next()) {
    if (!image->problem.empty()) problems.add(image->problem);
    to = std::copy(image->planes.begin(), image->planes.end(), to);
  }
  problems.throw_if_any("images cannot be read");
  return pixels;
}

std::vector<double> cosines(const PromptNetwork& network, const std::vector<ClipQuestion>& questions) {
  const at::NoGradGuard no_grad;
  std::vector<std::string> texts;
  for (const auto& question : questions) texts.push_back(question.text);
  const auto tokens = network.tokenizer.encode_batch(texts, network.clip.model->config().max_tokens,
                                                     text::ClipCleaning::kOpenAi);
  const auto pixels = read_images(questions, network.side());
  const auto images = normalized_rows(network.clip.model->image_features(pixels.to(network.device)));
  const auto rows = normalized_rows(network.clip.model->text_features(tokens.ids.to(network.device)));
  const at::Tensor result = (images * rows).sum(1).to(at::kDouble);
  return {result.const_data_ptr<double>(), result.const_data_ptr<double>() + result.numel()};
}

}  // namespace

void check_clip_cosine(const fs::path& clip, const fs::path& tokenizer, Problems& problems) {
  attempt(problems, [&] { models::check_clip_folder(clip); });
  attempt(problems, [&] { const text::ClipTokenizer tried(folder_of(clip, tokenizer)); });
}

ClipCosine load_clip_cosine(const fs::path& clip, const fs::path& tokenizer, const std::string& device,
                            std::string& protocol) {
  nn::set_num_threads(0);
  const c10::Device chosen = nn::select_device(device);
  const auto network = std::make_shared<PromptNetwork>(PromptNetwork{
      models::load_clip(clip, chosen), text::ClipTokenizer(folder_of(clip, tokenizer)), chosen});
  formats::Sha256 hash;
  for (const auto& item : network->clip.state->items()) add_tensor(hash, item.name, item.tensor);
  auto json = protocol_of_clip(hash.hex(), network->clip.model->config());
  json["pixels"] = kCropPixels;
  protocol = json.dump();
  return [network](const std::vector<ClipQuestion>& questions) {
    const nn::FullFloat32 full_float32;
    return cosines(*network, questions);
  };
}

}  // namespace pixart::score
