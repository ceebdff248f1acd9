#include "pixart/score/calibrate.h"

#include <ATen/ATen.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "clip_metrics.h"
#include "clip_pixels.h"
#include "clip_scores.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/version.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/npy.h"
#include "pixart/models/clip.h"
#include "pixart/nn/device.h"
#include "pixart/text/clip_tokenizer.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

using Values = std::vector<std::pair<std::string, double>>;

// What CLIP sees of an image file: [3, side, side] float32.
at::Tensor pixels_of(const fs::path& image, int side) {
  const auto planes = clip_input(clip_crop(image, side));
  return at::tensor(planes, at::kFloat).reshape({3, side, side});
}

Values clip_probabilities(const CalibrationCase& wanted, c10::Device device) {
  const at::NoGradGuard no_grad;
  const auto clip = models::load_clip(wanted.request.clip, device);
  const auto& config = clip.model->config();
  const text::ClipTokenizer tokenizer(tokenizer_folder(wanted.request));
  if (tokenizer.vocab_size() > config.vocab_size)
    throw UserError(
        fmt::format("{}: the tokenizer has {} tokens, and the model only {}: they do not belong together.",
                    wanted.request.clip.string(), tokenizer.vocab_size(), config.vocab_size));
  std::vector<std::string> texts;
  for (const auto& value : wanted.values) texts.push_back(value.name);
  const auto tokens = tokenizer.encode_batch(texts, config.max_tokens, text::ClipCleaning::kOpenAi);
  const at::Tensor input = pixels_of(wanted.request.images, int(config.image_size)).unsqueeze(0);
  const at::Tensor image = normalized_rows(clip.model->image_features(input.to(device))).to(at::kDouble),
                   rows = normalized_rows(clip.model->text_features(tokens.ids.to(device))).to(at::kDouble);
  const at::Tensor likely = at::softmax(clip.model->logit_scale() * at::matmul(rows, image.squeeze(0)), 0);
  Values values;
  for (size_t i = 0; i < texts.size(); ++i) values.emplace_back(texts[i], likely[int64_t(i)].item<double>());
  return values;
}

Values clip_pixel_difference(const CalibrationCase& wanted) {
  at::Tensor stored = formats::load_npy(wanted.pixels);
  if (stored.dim() == 4 && stored.size(0) == 1) stored = stored.squeeze(0);
  constexpr int64_t kLargestSide = 4096;
  const bool fits = stored.dim() == 3 && stored.size(0) == 3 && stored.size(1) == stored.size(2) &&
                    stored.size(1) >= 1 && stored.size(1) <= kLargestSide;
  if (!fits)
    throw UserError(fmt::format("{} is not an array [3, side, side] of pixels.", wanted.pixels.string()));
  const at::Tensor own = pixels_of(wanted.request.images, int(stored.size(1)));
  return {{"difference", (own.to(at::kDouble) - stored.to(at::kDouble)).abs().max().item<double>()}};
}

Values values_of(const CalibrationCase& wanted, c10::Device device, int64_t batch_size) {
  if (wanted.kind == CalibrationKind::kClipPixels) return clip_pixel_difference(wanted);
  if (wanted.kind == CalibrationKind::kClipProbabilities) return clip_probabilities(wanted, device);
  ScoreRequest request = wanted.request;
  request.device = device.str();
  request.batch_size = batch_size;
  return score(request).values;
}

std::string where_to_get(const CalibrationFile& file) {
  return file.from.empty() ? "" : ": get it from " + file.from;
}

std::vector<std::string> missing_of(const CalibrationCase& wanted) {
  std::vector<std::string> missing;
  for (const auto& file : wanted.files)
    if (!fs::exists(file.path))
      missing.push_back(fmt::format("{} is missing{}", file.path.string(), where_to_get(file)));
  return missing;
}

// A file that is there and is another one would give another value, and nobody would know why.
void check_hashes(const std::vector<CalibrationCase>& cases) {
  Problems problems;
  for (const auto& wanted : cases)
    for (const auto& file : wanted.files) {
      if (file.sha256.empty() || !fs::exists(file.path)) continue;
      if (!fs::is_regular_file(file.path)) {
        problems.add(fmt::format("{} is not a file, and the value is of one with the SHA-256 {}...{}",
                                 file.path.string(), file.sha256.substr(0, 12), where_to_get(file)));
        continue;
      }
      const std::string own = formats::sha256_of_file(file.path);
      if (own != file.sha256)
        problems.add(fmt::format("{} has the SHA-256 {}..., and the value is of one with {}...{}",
                                 file.path.string(), own.substr(0, 12), file.sha256.substr(0, 12),
                                 where_to_get(file)));
    }
  problems.throw_if_any("files are not those of the published values");
}

std::vector<CalibratedValue> computed(const CalibrationCase& wanted, c10::Device device, int64_t batch_size) {
  const Values values = values_of(wanted, device, batch_size);
  std::vector<CalibratedValue> result;
  for (const auto& value : wanted.values) {
    const auto here =
        std::find_if(values.begin(), values.end(), [&](const auto& one) { return one.first == value.name; });
    if (here == values.end()) throw UserError(fmt::format("the result has no value '{}'.", value.name));
    result.push_back({.wanted = value, .here = here->second});
  }
  return result;
}

CalibratedCase calibrated(const CalibrationCase& wanted, c10::Device device, int64_t batch_size) {
  CalibratedCase result{.name = wanted.name, .source = wanted.source, .missing = missing_of(wanted)};
  if (!result.missing.empty()) return result;
  log::info("compute {}", wanted.name);
  try {
    result.values = computed(wanted, device, batch_size);
  } catch (const UserError& failure) {
    result.problem = failure.what();
  }
  return result;
}

std::string json_of(const Calibration& calibration, c10::Device device) {
  ordered_json cases = ordered_json::array();
  for (const auto& part : calibration.cases) {
    ordered_json values = ordered_json::object();
    for (const auto& value : part.values)
      values[value.wanted.name] = {{"published", value.wanted.published},
                                   {"here", value.here},
                                   {"tolerance", value.wanted.tolerance},
                                   {"equal", value.is_equal()}};
    cases.push_back({{"name", part.name},
                     {"source", part.source},
                     {"missing", part.missing},
                     {"problem", part.problem},
                     {"values", values}});
  }
  const ordered_json root = {{"kind", "pixart calibration result, 1"},
                             {"cases", cases},
                             {"machine",
                              {{"software", producer()},
                               {"libtorch", TORCH_VERSION},
                               {"device", at::DeviceTypeName(device.type(), /*lower_case=*/true)}}}};
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

bool CalibratedValue::is_equal() const { return std::abs(here - wanted.published) <= wanted.tolerance; }

std::string CalibratedValue::text() const {
  if (is_equal())
    return fmt::format("{} is equal: published {:.7g}, here {:.7g}, tolerance {:.3g}", wanted.name,
                       wanted.published, here, wanted.tolerance);
  return fmt::format("{} is not equal: published {:.7g}, here {:.7g}, difference {:.3g}", wanted.name,
                     wanted.published, here, std::abs(here - wanted.published));
}

int64_t Calibration::num_computed() const {
  return std::count_if(cases.begin(), cases.end(),
                       [](const auto& part) { return part.missing.empty() && part.problem.empty(); });
}

int64_t Calibration::num_failed() const {
  return std::count_if(cases.begin(), cases.end(), [](const auto& part) { return !part.problem.empty(); });
}

int64_t Calibration::num_different() const {
  int64_t different = 0;
  for (const auto& part : cases)
    different += std::count_if(part.values.begin(), part.values.end(),
                               [](const auto& value) { return !value.is_equal(); });
  return different;
}

Calibration calibrate(const std::vector<CalibrationCase>& cases, const std::string& device,
                      int64_t batch_size) {
  check_hashes(cases);
  const c10::Device selected = nn::select_device(device);
  nn::set_num_threads(0);
  const nn::FullFloat32 full_float32;
  Calibration result;
  for (const auto& wanted : cases) result.cases.push_back(calibrated(wanted, selected, batch_size));
  result.json = json_of(result, selected);
  return result;
}

}  // namespace pixart::score
