#include "clip_metrics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "metrics.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/weights.h"
#include "tensor_hash.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kRows = 2048;  // of a block of the kernel
constexpr double kSigma = 10, kScale = 1000;

double mean_kernel_of(const at::Tensor& x, const at::Tensor& y, const std::function<void()>& progress) {
  double sum = 0;
  bool is_first = true;
  for (const auto& part : x.split(kRows))
    for (const auto& other : y.split(kRows)) {
      if (!is_first && progress) progress();
      is_first = false;
      const at::Tensor squares =
          part.square().sum(1, true) + other.square().sum(1).unsqueeze(0) - 2 * at::matmul(part, other.t());
      sum += at::exp(squares * (-1 / (2 * kSigma * kSigma))).sum().item<double>();
    }
  return sum / (double(x.size(0)) * double(y.size(0)));
}

}  // namespace

at::Tensor normalized_rows(const at::Tensor& embeddings) {
  const at::Tensor rows = embeddings.to(at::kFloat);
  const at::Tensor result = (rows / rows.norm(2, {1}, /*keepdim=*/true)).cpu();
  if (!result.isfinite().all().item<bool>())
    throw UserError("CLIP's results are not finite: its weights are damaged, or others.",
                    ExitCode::kNumerics);
  return result;
}

double mean_kernel(const at::Tensor& rows, const std::function<void()>& progress) {
  const at::Tensor all = in_doubles(rows);
  return mean_kernel_of(all, all, progress);
}

double cmmd(const at::Tensor& images, const at::Tensor& reference, std::optional<double> of_reference,
            const std::function<void()>& progress) {
  const at::Tensor x = in_doubles(images), y = in_doubles(reference);
  const double within = of_reference ? *of_reference : mean_kernel_of(y, y, progress);
  const double distance = mean_kernel_of(x, x, progress) + within - 2 * mean_kernel_of(x, y, progress);
  return distance <= 0 ? 0 : kScale * distance;  // of equal sets, rounding may leave a little less than 0
}

ClipSimilarity clip_similarity(const at::Tensor& images, const at::Tensor& texts) {
  PIXART_CHECK(images.sizes() == texts.sizes(), "{} images for {} texts", images.size(0), texts.size(0));
  constexpr double kHundred = 100, kOfHessel = 2.5;
  const at::Tensor cosines = (in_doubles(images) * in_doubles(texts)).sum(1);
  const double mean = cosines.mean().item<double>();
  return {.cosine = mean,
          .x100 = std::max(0.0, kHundred * mean),
          .x2_5 = kOfHessel * cosines.clamp_min(0).mean().item<double>()};
}

namespace {

// The layers from the embedding to the score, by their numbers; a single layer has no number.
std::map<int64_t, std::string> layers_of(const formats::Weights& weights, const std::string& subject) {
  std::map<int64_t, std::string> layers;
  for (const auto& [name, info] : weights.tensors) {
    constexpr std::string_view kBefore = "layers.", kAfter = ".weight";
    if (name == "weight") layers[0] = "";
    const bool is_layer =
        name.starts_with(kBefore) && name.ends_with(kAfter) && name.size() > kBefore.size() + kAfter.size();
    if (!is_layer) continue;
    const std::string digits = name.substr(kBefore.size(), name.size() - kBefore.size() - kAfter.size());
    if (digits.size() < 4 && digits.find_first_not_of("0123456789") == std::string::npos)
      layers[std::stoi(digits)] = "layers." + digits + ".";
  }
  if (layers.empty())
    throw UserError(fmt::format(
        "{}: it has neither weight nor layers.0.weight, as an aesthetic head of LAION has.", subject));
  return layers;
}

const fs::path& without_activations(const fs::path& file) {
  if (ascii_lower(file.filename().string()).find("relu") != std::string::npos)
    throw UserError(fmt::format(
        "{}: heads with ReLU have the same tensors as those without, and are not supported. Give the head whose "
        "name says linearMSE.",
        file.string()));
  return file;
}

}  // namespace

AestheticHead::AestheticHead(const fs::path& file)
    : AestheticHead(formats::open_weights(without_activations(file)), file.string()) {}

AestheticHead::AestheticHead(const formats::Weights& weights, const std::string& subject) {
  at::Tensor map, shift;  // of the layers so far: [out, width], [out]
  for (const auto& [number, layer] : layers_of(weights, subject)) {
    const bool has_bias = weights.tensors.contains(layer + "bias");
    const at::Tensor weight = weights.read(layer + "weight").to(at::kDouble);
    const at::Tensor bias = has_bias ? weights.read(layer + "bias").to(at::kDouble) : at::Tensor();
    const bool fits = weight.dim() == 2 && weight.numel() > 0 && has_bias &&
                      bias.sizes() == at::IntArrayRef{weight.size(0)} &&
                      (!map.defined() || weight.size(1) == map.size(0));
    if (!fits)
      throw UserError(
          fmt::format("{}: {}weight is {} and does not follow the layer before it, or has no bias.", subject,
                      layer, shape_text(weight.sizes().vec())));
    shift = map.defined() ? at::mv(weight, shift) + bias : bias;
    map = map.defined() ? at::matmul(weight, map) : weight;
  }
  if (map.size(0) != 1)
    throw UserError(fmt::format("{}: its last layer gives {} values, not one.", subject, map.size(0)));
  weight_ = map.select(0, 0).contiguous();
  bias_ = shift.item<double>();
}

at::Tensor AestheticHead::operator()(const at::Tensor& images) const {
  return at::mv(in_doubles(images), weight_) + bias_;
}

std::string AestheticHead::sha256() const {
  formats::Sha256 hash;
  add_tensor(hash, "weight", weight_);
  add_tensor(hash, "bias", at::full({1}, bias_, at::kDouble));
  return hash.hex();
}

}  // namespace pixart::score
