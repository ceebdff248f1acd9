#include "row_scorer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "clip_metrics.h"
#include "clip_pixels.h"
#include "pixart/base/names.h"
#include "pixart/base/print.h"
#include "pixart/formats/hash.h"
#include "pixart/models/clip.h"
#include "pixart/text/clip_tokenizer.h"
#include "tensor_hash.h"

namespace pixart::score {
using nlohmann::ordered_json;

namespace {

constexpr const char* kAestheticField = "aesthetic";

bool wants(const RowScoreRequest& request, Metric metric) { return contains(request.metrics, metric); }

bool wants_texts(const RowScoreRequest& request) {
  return wants(request, Metric::kClip) || wants(request, Metric::kPickscore);
}

std::string text_score_name(Metric metric) { return metric == Metric::kClip ? "clip_cosine" : "pickscore"; }

// The fields of scores that a line may have.
std::vector<std::string> score_fields(const RowScoreRequest& request, const std::vector<std::string>& kinds) {
  std::vector<std::string> fields;
  if (wants(request, Metric::kAesthetic)) fields.emplace_back(kAestheticField);
  for (const Metric metric : {Metric::kClip, Metric::kPickscore}) {
    if (!wants(request, metric)) continue;
    fields.push_back(text_score_name(metric));
    if (kinds.size() > 1)
      for (const auto& kind : kinds) fields.push_back(text_score_name(metric) + "_" + kind);
  }
  return fields;
}

std::string rejection_problem(const ordered_json& line) {
  constexpr size_t kFields = 4;  // of such a line
  const auto& reason = line["rejected"];
  if (!reason.is_string() || !reason_called(reason.get_ref<const std::string&>()))
    return "has a reason of rejection that does not exist";
  const auto detail = line.find("detail");
  if (detail == line.end() || !detail->is_string() || line.size() != kFields)
    return "has other fields than key, row, rejected and detail";
  return "";
}

// JSON would write null, as if there were no value.
double rounded(double value) {
  if (!std::isfinite(value))
    throw UserError(
        "a score is not finite: the weights of CLIP or of the aesthetic head are damaged, or others.",
        ExitCode::kNumerics);
  return std::round(value * 1e6) / 1e6;
}

// Weighted means, by the name of a field.
class Means {
 public:
  void add(const std::string& name, double value, double weight) {
    auto& [sum, weights] = sums_[name];
    sum += weight * value, weights += weight;
  }
  void write(ordered_json& line) const {
    for (const auto& [name, mean] : sums_)
      if (mean.second > 0) line[name] = rounded(mean.first / mean.second);
  }

 private:
  std::map<std::string, std::pair<double, double>> sums_;
};

std::string hash_of_weights(const nn::StateDict& state) {
  formats::Sha256 hash;
  for (const auto& item : state.items()) add_tensor(hash, item.name, item.tensor);
  return hash.hex();
}

}  // namespace

const std::vector<Metric>& row_metrics() {
  static const std::vector<Metric> metrics = {Metric::kClip, Metric::kAesthetic, Metric::kPickscore};
  return metrics;
}

void check_request(const RowScoreRequest& request, Problems& problems) {
  if (request.metrics.empty()) problems.add("no metric is named");
  for (const Metric metric : request.metrics)
    if (!contains(row_metrics(), metric))
      problems.add(fmt::format("{} is not a score of a single row; clip, aesthetic and pickscore are",
                               word_of(metric)));
  if (request.clip.empty())
    problems.add("a CLIP model is missing (--clip): the folder of a published model with config.json");
  if (wants(request, Metric::kAesthetic) && request.aesthetic_head.empty())
    problems.add(
        "the aesthetic head is missing (--aesthetic-head): sac+logos+ava1-l14-linearMSE.pth of LAION; or leave "
        "aesthetic out (--metrics clip)");
  if (request.out.empty() || !request.out.has_filename())
    problems.add("a file for the scores is missing (--out)");
  if (request.parts < 1 || request.part < 0 || request.part >= request.parts)
    problems.add(fmt::format("part {} of {} does not exist", request.part + 1, request.parts));
  if (request.batch_size < 1) problems.add("a batch has at least one row");
}

std::optional<data::Reason> reason_called(std::string_view name) {
  for (const auto reason : data::all_reasons())
    if (data::to_string(reason) == name) return reason;
  return std::nullopt;
}

struct RowScorer::State {
  RowScoreRequest request;
  bool has_kinds = false;
  std::vector<std::string> fields = {};
  c10::Device device;
  models::LoadedClip clip;
  std::optional<text::ClipTokenizer> tokenizer = {};
  std::optional<AestheticHead> head = {};
  ordered_json protocol = {};

  int side() const { return int(clip.model->config().image_size); }
  at::Tensor image_rows(const std::vector<const ReadRow*>& rows) const;
  void add_texts(const std::vector<const ReadRow*>& rows, const at::Tensor& images, Metric metric,
                 std::vector<ordered_json>& lines) const;
};

RowScorer::RowScorer(const RowScoreRequest& request, const std::vector<std::string>& kinds,
                     c10::Device device)
    : state_(new State{.request = request,
                       .has_kinds = kinds.size() > 1,
                       .fields = score_fields(request, kinds),
                       .device = device,
                       .clip = models::load_clip(request.clip, device)}) {
  const auto& config = state_->clip.model->config();
  std::vector<std::string> metrics;
  for (const Metric metric : request.metrics) metrics.emplace_back(word_of(metric));
  std::sort(metrics.begin(), metrics.end());
  state_->protocol = {{"metrics", metrics},
                      {"clip_sha256", hash_of_weights(*state_->clip.state)},
                      {"pixels", "bicubic short side, centre crop"},
                      {"batch", request.batch_size}};
  if (wants_texts(request)) {
    state_->tokenizer.emplace(request.clip_tokenizer.empty() ? text::clip_tokenizer_folder(request.clip)
                                                             : request.clip_tokenizer);
    if (state_->tokenizer->vocab_size() > config.vocab_size)
      throw UserError(fmt::format(
          "the tokenizer has {} tokens, and the model in {} only {}: they do not belong together.",
          state_->tokenizer->vocab_size(), request.clip.string(), config.vocab_size));
  }
  if (!wants(request, Metric::kAesthetic)) return;
  state_->head.emplace(request.aesthetic_head);
  if (state_->head->width() != config.embedding)
    throw UserError(fmt::format(
        "{} is for embeddings of {} channels, and the model in {} gives {}. LAION's heads "
        "are for CLIP ViT-L/14.",
        request.aesthetic_head.string(), state_->head->width(), request.clip.string(), config.embedding));
  state_->protocol["aesthetic_head_sha256"] = formats::sha256_of_file(request.aesthetic_head);
}
RowScorer::~RowScorer() = default;

bool RowScorer::reads_captions() const { return wants_texts(state_->request); }

const ordered_json& RowScorer::protocol() const { return state_->protocol; }

ReadRow RowScorer::read(const data::Dataset& dataset, int64_t row) const {
  ReadRow result{.row = row, .known = dataset.row(row)};
  try {
    const Image image = dataset.image(row);
    result.width = image.width, result.height = image.height;
    dataset.on_sample(
        row, [&] { result.input = clip_input(clip_pixels(image, ClipPixels::kCrop, state_->side())); });
  } catch (const data::BadSample& bad) {
    result.rejection = bad.rejection();
  }
  return result;
}

// Normalised embeddings.
at::Tensor RowScorer::State::image_rows(const std::vector<const ReadRow*>& rows) const {
  at::Tensor batch = at::empty({int64_t(rows.size()), 3, side(), side()}, at::kFloat);
  auto* to = batch.data_ptr<float>();
  for (const auto* row : rows) to = std::copy(row->input.begin(), row->input.end(), to);
  return normalized_rows(clip.model->image_features(batch.to(device)));
}

// Similarities of the rows' captions to their images.
void RowScorer::State::add_texts(const std::vector<const ReadRow*>& rows, const at::Tensor& images,
                                 Metric metric, std::vector<ordered_json>& lines) const {
  const bool is_clip = metric == Metric::kClip;
  const std::string name = text_score_name(metric);
  const double scale = is_clip ? 1 : clip.model->logit_scale();
  std::vector<std::string> texts;
  for (const auto* row : rows)
    for (const auto& caption : row->known.captions) texts.push_back(caption.text);
  if (texts.empty()) return;
  const auto tokens =
      tokenizer->encode_batch(texts, clip.model->config().max_tokens,
                              is_clip ? text::ClipCleaning::kOpenAi : text::ClipCleaning::kHuggingFace);
  std::vector<at::Tensor> parts;
  for (const auto& ids : tokens.ids.split(request.batch_size))
    parts.push_back(normalized_rows(clip.model->text_features(ids.to(device))));
  const at::Tensor embedded = at::cat(parts).to(at::kDouble), of_images = images.to(at::kDouble);
  int64_t next = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    Means means;
    for (const auto& caption : rows[i]->known.captions) {
      const double value = scale * of_images[int64_t(i)].dot(embedded[next++]).item<double>();
      means.add(name, value, caption.weight);
      if (has_kinds) means.add(name + "_" + caption.name, value, caption.weight);
    }
    means.write(lines[i]);
  }
}

std::string RowScorer::lines(const std::vector<ReadRow>& batch) const {
  const at::NoGradGuard no_grad;
  std::vector<const ReadRow*> good;
  std::vector<ordered_json> scored;
  for (const auto& row : batch) {
    if (row.rejection) continue;
    good.push_back(&row);
    scored.push_back(
        {{"key", row.known.key}, {"row", row.row}, {"width", row.width}, {"height", row.height}});
  }
  if (!good.empty()) {
    const at::Tensor images = state_->image_rows(good);
    for (const Metric metric : {Metric::kClip, Metric::kPickscore})
      if (wants(state_->request, metric)) state_->add_texts(good, images, metric, scored);
    if (state_->head) {
      const at::Tensor values = (*state_->head)(images);
      for (size_t i = 0; i < good.size(); ++i)
        scored[i][kAestheticField] = rounded(values[int64_t(i)].item<double>());
    }
  }
  std::string text;
  size_t next = 0;
  for (const auto& row : batch) {
    const ordered_json line = !row.rejection
                                  ? std::move(scored[next++])
                                  : ordered_json{{"key", row.known.key},
                                                 {"row", row.row},
                                                 {"rejected", data::to_string(row.rejection->reason)},
                                                 {"detail", row.rejection->detail}};
    text += line.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  }
  return text;
}

std::string RowScorer::problem_of(const ordered_json& line) const {
  const auto key = line.find("key");
  if (key == line.end() || !key->is_string()) return "names no sample";
  if (line.contains("rejected")) return rejection_problem(line);
  for (const char* side : {"width", "height"})
    if (const auto found = line.find(side);
        found == line.end() || !found->is_number_integer() || found->get<int64_t>() < 1)
      return fmt::format("has no {} of an image", side);
  for (const auto& [name, value] : line.items()) {
    if (name == "key" || name == "row" || name == "width" || name == "height") continue;
    if (!contains(state_->fields, name))
      return fmt::format("has a field that these metrics do not have: {}", printable(name.substr(0, 80)));
    if (!value.is_number() || !(std::abs(value.get<double>()) <= double(std::numeric_limits<float>::max())))
      return fmt::format("has a value of {} that is not a score", printable(name));
  }
  if (state_->head && !line.contains(kAestheticField)) return fmt::format("has no {}", kAestheticField);
  return "";
}

}  // namespace pixart::score
