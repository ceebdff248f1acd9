#include "pixart/train/run_card.h"

#include <regex>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/names.h"
#include "pixart/base/words.h"
#include "pixart/config/config.h"
#include "pixart/formats/image_file.h"
#include "pixart/report/run_record.h"

namespace pixart::train {
namespace fs = std::filesystem;
using convert::CardFacts;

namespace {

// Shown whatever their values are; the others if they are not the defaults.
constexpr const char* kAlways[] = {"objective",    "resolution", "steps",     "batch_size", "optimizer.name",
                                   "optimizer.lr", "precision",  "ema_decay", "init.how"};
constexpr const char *kOfDiffusion = "prediction", *kName = "name", *kFrom = "init.from",
                     *kExclude = "exclude";
// They change nothing of what is trained.
constexpr const char* kNever[] = {"samples.",
                                  "validation.",
                                  "metrics.",
                                  "checkpoints.",
                                  "log_every",
                                  "micro_batch_size",
                                  "activation_checkpointing"};

bool is_shown(const config::KeyValue& value, bool is_diffusion) {
  if (value.path == kName) return false;
  for (const char* never : kNever)
    if (value.path.starts_with(never)) return false;
  return contains(kAlways, value.path) || (is_diffusion && value.path == kOfDiffusion) || !value.is_default;
}

// A card is for others: no folders of this machine.
std::string without_folders(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

std::string setting_of(const run::StageConfig& stage, const config::KeyValue& value) {
  if (value.path == kFrom) return without_folders(stage.init.from);
  return value.path == kExclude ? without_folders(stage.exclude) : value.value;
}

convert::CardStage stage_of(const run::StageConfig& stage) {
  convert::CardStage result{.name = stage.name};
  for (const auto& value : config::values(stage))
    if (is_shown(value, !stage.info().trains_autoencoder()))
      result.settings.emplace_back(value.path, setting_of(stage, value));
  return result;
}

// The stage after those whose weights it begins with.
std::vector<const run::StageConfig*> chain_of(const run::RunConfig& config, const std::string& name) {
  std::vector<const run::StageConfig*> chain;
  const run::StageConfig* stage = find_named(config.stages, name);
  while (stage != nullptr && !contains(chain, stage)) {
    chain.insert(chain.begin(), stage);
    stage = stage->init.how == run::InitHow::kRandom ? nullptr : find_named(config.stages, stage->init.from);
  }
  return chain;
}

std::string reasons(const std::map<std::string, int64_t>& rejected) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : rejected) parts.push_back(with_thousands(count) + " " + reason);
  return join(parts, ", ");
}

convert::CardSource source_of(const report::RunRecord& record, const std::string& name) {
  convert::CardSource source{.name = name};
  for (const auto& set : record.features)
    if (set.source == name && set.kind == "latents") source.rows = set.rows, source.rejected = set.rejected;
  if (const auto* ledger = find_named(record.sources, name))
    source.rejected = ledger->num_rejected(), source.why = reasons(ledger->rejected);
  return source;
}

convert::CardScore score_of(const report::ScoreCard& card, const std::string& name) {
  convert::CardScore score{.name = name, .values = card.values};
  for (const auto& [path, text] : card.protocol) score.protocol.emplace_back(path, text);
  for (const auto& [path, text] : card.settings) score.protocol.emplace_back("settings/" + path, text);
  return score;
}

constexpr const char *kOfTheEma = " (of the EMA, not of these weights)",
                     *kOfTheLive = " (of the trained weights, not of their EMA)",
                     *kOfWhich = " (of which weights is not known)";

constexpr std::string_view kDrawnByTheEma = "average";  // or "live"

// A card of drawn images says whether they are of the EMA.
std::string other_weights(const report::ScoreCard& card, bool is_ema) {
  const auto drawn = card.protocol.find("sampling/weights");
  if (drawn == card.protocol.end()) return "";
  const bool is_of_ema = drawn->second == kDrawnByTheEma;
  return is_of_ema == is_ema ? "" : is_of_ema ? kOfTheEma : kOfTheLive;
}

// Of the stage's own cards the newest up to the step, and all that are of no stage, which do not name their weights.
void add_scores(const report::RunRecord& record, const CheckpointPlace& place, CardFacts& facts) {
  const report::ScoreCard* newest = nullptr;
  for (const auto& card : record.cards) {
    if (card.step < 0) facts.scores.push_back(score_of(card, card.file + kOfWhich));
    if (card.stage == place.stage && card.step <= place.step &&
        (newest == nullptr || card.step > newest->step))
      newest = &card;
  }
  if (newest != nullptr)
    facts.scores.push_back(
        score_of(*newest, fmt::format("{}, step {}{}", place.stage, with_thousands(newest->step),
                                      other_weights(*newest, place.is_ema))));
  if (!record.scores.empty())  // of `pixart demo score`
    facts.scores.push_back({.name = std::string("drawn scenes") + kOfWhich,
                            .values = {record.scores.begin(), record.scores.end()}});
}

bool is_image(const fs::path& file) {
  try {
    return !formats::image_ending(read_file(file, convert::kLargestCardSample)).empty();
  } catch (const UserError&) {
    return false;
  }
}

// The last grid up to the step, which the EMA drew.
void add_samples(const report::RunRecord& record, const run::StageConfig& stage, const CheckpointPlace& place,
                 CardFacts& facts) {
  const auto* own = find_named(record.stages, stage.name);
  const report::SampleGrid* last = nullptr;
  std::error_code error;
  if (own != nullptr)
    for (const auto& grid : own->samples)
      if (grid.step <= place.step) last = &grid;
  if (last == nullptr || !fs::is_regular_file(last->file, error) || !is_image(last->file)) return;
  const std::string prompts = join(stage.samples.prompts, "; ");
  facts.samples.push_back(
      {.file = last->file,
       .text = place.is_ema ? prompts : (prompts.empty() ? "not known" : prompts) + kOfTheEma});
}

}  // namespace

CardFacts card_of(const CheckpointPlace& of_weights, const run::RunConfig& config) {
  report::ReadOptions options{.curves = false};
  if (config.features.path) options.features = *config.features.path;
  const report::RunRecord record = report::read_run(of_weights.run, options);
  CardFacts facts{.run_name = record.name};
  std::vector<std::string> sources;
  const auto chain = chain_of(config, of_weights.stage);
  CheckpointPlace place = of_weights;
  place.is_ema = place.is_ema || (!chain.empty() && chain.back()->ema_decay == 0);  // then both are the same
  for (const auto* one : chain) {
    facts.stages.push_back(stage_of(*one));
    for (const auto& part : one->parts())
      if (!contains(sources, part.source)) sources.push_back(part.source);
  }
  for (const auto& name : sources) facts.sources.push_back(source_of(record, name));
  add_scores(record, place, facts);
  if (chain.empty()) return facts;
  facts.stages.back().settings.emplace_back("step of these weights", with_thousands(place.step));
  facts.stages.back().settings.emplace_back("these weights",
                                            of_weights.is_ema ? "EMA" : "as trained, not the EMA");
  add_samples(record, *chain.back(), place, facts);
  return facts;
}

convert::CardScore card_score(const fs::path& file) {
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  const auto card = report::parse_score_card(read_file(file, kLargest));
  if (!card) throw UserError(file.string() + " is not a card of pixart score.");
  // Most cards are called score.json: then the folder distinguishes them.
  const fs::path normal = file.lexically_normal();
  const fs::path folder = normal.parent_path().filename();
  const bool is_usual = normal.filename() == "score.json" && !folder.empty() && folder != "..";
  return score_of(*card, (is_usual ? folder / normal.filename() : normal.filename()).generic_string());
}

std::optional<CheckpointPlace> checkpoint_place(const fs::path& weights) {
  std::error_code error;
  fs::path folder = fs::weakly_canonical(weights, error);
  if (error) return std::nullopt;
  const fs::path file = folder.filename();
  if (!fs::is_directory(folder, error)) folder = folder.parent_path();
  const fs::path stage = folder.parent_path(), run = stage.parent_path().parent_path();
  const std::string name = folder.filename().string();
  static const std::regex of_step("step-([0-9]{1,15})");
  std::smatch match;
  if (!std::regex_match(name, match, of_step) || stage.parent_path().filename() != "checkpoints" ||
      !fs::exists(run / "run.yaml", error))
    return std::nullopt;
  return CheckpointPlace{.run = run,
                         .stage = stage.filename().string(),
                         .step = std::stoll(match[1]),
                         .is_ema = file == "ema.safetensors"};
}

}  // namespace pixart::train
