// What is checked of the scores of drawn images before a run begins.
#include <algorithm>
#include <optional>

#include "attempt.h"
#include "clip_metrics.h"
#include "drawn_reference.h"
#include "inception.h"
#include "pixart/base/words.h"
#include "pixart/score/drawn_scores.h"
#include "pixart/text/clip_tokenizer.h"

namespace pixart::score {
namespace fs = std::filesystem;

namespace {

const std::vector<Metric>& drawn_metrics() {
  static const std::vector<Metric> metrics = {Metric::kFid,      Metric::kKid,  Metric::kPrecisionRecall,
                                              Metric::kCmmd,     Metric::kClip, Metric::kAesthetic,
                                              Metric::kPickscore};
  return metrics;
}

bool wants_any(const DrawnScoresConfig& config, std::initializer_list<Metric> metrics) {
  return std::any_of(metrics.begin(), metrics.end(), [&](Metric metric) { return config.wants(metric); });
}

// Of a key of the section: its problems are named after it.
template <class Open>
void attempt_key(const char* key, Problems& problems, const Open& open) {
  Problems own;
  attempt(own, open);
  for (const auto& problem : own.all()) problems.add(fmt::format("metrics.{}: {}", key, problem));
}

void check_tokenizer(const DrawnScoresConfig& config, const std::optional<models::ClipConfig>& model,
                     Problems& problems) {
  const text::ClipTokenizer tokenizer(config.clip_tokenizer.empty() ? text::clip_tokenizer_folder(config.clip)
                                                                    : config.clip_tokenizer);
  if (model && tokenizer.vocab_size() > model->vocab_size)
    problems.add(
        fmt::format("the tokenizer has {} tokens, and the model in {} only {}: they do not belong together",
                    tokenizer.vocab_size(), config.clip.string(), model->vocab_size));
}

void check_head(const DrawnScoresConfig& config, const std::optional<models::ClipConfig>& model,
                Problems& problems) {
  const AestheticHead head(config.aesthetic_head);
  if (model && head.width() != model->embedding)
    problems.add(
        fmt::format("{} is for embeddings of {} channels, and the model in {} gives {}. LAION's "
                    "heads are for CLIP ViT-L/14",
                    config.aesthetic_head.string(), head.width(), config.clip.string(), model->embedding));
}

// The tokenizer and the head are opened also where the model is wrong.
void check_clip(const DrawnScoresConfig& config, Problems& problems) {
  std::optional<models::ClipConfig> model;
  attempt_key("clip", problems, [&] { model = models::load_clip(config.clip, at::kMeta).model->config(); });
  const bool is_in_models_folder = config.clip_tokenizer.empty();
  if (config.reads_prompts() && (model || !is_in_models_folder))
    attempt_key(is_in_models_folder ? "clip" : "clip_tokenizer", problems,
                [&] { check_tokenizer(config, model, problems); });
  if (config.wants(Metric::kAesthetic))
    attempt_key("aesthetic_head", problems, [&] { check_head(config, model, problems); });
}

// Files of statistics name the network that computed them: an empty hash is not compared.
void check_reference_of(const DrawnScoresConfig& config, bool has_weights, Problems& problems) {
  const auto reference = open_reference(config.reference);
  check_reference(reference, config, problems);
  const bool compares = has_weights && reference.file && !reference.file->protocol.empty();
  check_protocol(reference, config,
                 compares ? open_inception(config.weights, at::kCPU).tensors_sha256 : std::string());
}

}  // namespace

std::vector<std::string> drawn_score_names() {
  std::vector<std::string> names;
  for (const Metric metric : drawn_metrics()) names.push_back(word_of(metric));
  return names;
}

bool DrawnScoresConfig::wants(Metric metric) const { return contains(scores, word_of(metric)); }
bool DrawnScoresConfig::uses_inception() const {
  return wants_any(*this, {Metric::kFid, Metric::kKid, Metric::kPrecisionRecall});
}
bool DrawnScoresConfig::uses_clip() const { return wants(Metric::kCmmd) || reads_crops(); }
bool DrawnScoresConfig::reads_crops() const {
  return wants_any(*this, {Metric::kClip, Metric::kAesthetic, Metric::kPickscore});
}
bool DrawnScoresConfig::reads_prompts() const {
  return wants_any(*this, {Metric::kClip, Metric::kPickscore});
}
bool DrawnScoresConfig::compares() const { return uses_inception() || wants(Metric::kCmmd); }
bool DrawnScoresConfig::needs_reference_rows() const {
  return wants_any(*this, {Metric::kKid, Metric::kPrecisionRecall});
}
int64_t DrawnScoresConfig::least_images() const {
  if (wants(Metric::kPrecisionRecall)) return kLeastForPrecision;
  return compares() ? 2 : 1;  // the others are means over the images
}

void DrawnScoresConfig::validate(std::vector<std::string>& problems) const {
  const auto key = [&](const char* name, const fs::path& value, bool is_needed, const char* of) {
    if (is_needed && value.empty()) problems.push_back(fmt::format("{} is missing, which {} need", name, of));
    if (!is_needed && !value.empty())
      problems.push_back(fmt::format("{} has no effect: none of the scores reads it ({} do)", name, of));
  };
  key("reference", reference, compares(), "fid, kid, precision-recall and cmmd");
  key("weights", weights, uses_inception(), "fid, kid and precision-recall");
  key("clip", clip, uses_clip(), "cmmd, clip, aesthetic and pickscore");
  key("aesthetic_head", aesthetic_head, wants(Metric::kAesthetic), "aesthetic scores");
  if (!reads_prompts() && !clip_tokenizer.empty())
    problems.push_back("clip_tokenizer has no effect: none of the scores reads it (clip and pickscore do)");
  if (resize != ResizeRule::kClean && !uses_inception())
    problems.push_back(
        "resize has no effect: none of the scores reads it (fid, kid and precision-recall do)");
}

void check_drawn_scores(const DrawnScoresConfig& config, Problems& problems) {
  bool has_weights = false;
  if (config.uses_inception())
    attempt_key("weights", problems, [&] {
      check_inception(config.weights);
      has_weights = true;
    });
  if (config.uses_clip()) check_clip(config, problems);
  if (config.compares())
    attempt_key("reference", problems, [&] { check_reference_of(config, has_weights, problems); });
}

}  // namespace pixart::score
