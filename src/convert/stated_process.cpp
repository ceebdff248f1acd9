#include "pixart/convert/stated_process.h"

#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "provenance_keys.h"

namespace pixart::convert {
namespace fs = std::filesystem;
using diffusion::Prediction;
using diffusion::Process;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestConfig = uint64_t{1} << 20;
constexpr int64_t kFewestSteps = 2, kMostSteps = 1'000'000;
constexpr const char *kPredictionKey = "prediction", *kZeroTerminalSnrKey = "zero_terminal_snr",
                     *kShiftKey = "shift", *kScheduleKey = "schedule", *kNumStepsKey = "num_train_steps";

bool boolean_at(const json& source, const char* key) {
  return source.contains(key) && source[key].is_boolean() && source[key].get<bool>();
}

double number_at(const json& source, const char* key, double otherwise) {
  return source.contains(key) && source[key].is_number() ? source[key].get<double>() : otherwise;
}

std::string text_at(const json& source, const char* key, const std::string& otherwise) {
  return source.contains(key) && source[key].is_string() ? source[key].get<std::string>() : otherwise;
}

// A count of steps; 0 where the value is impossible.
int64_t count_at(const json& source, const char* key, int64_t otherwise) {
  const double value = number_at(source, key, double(otherwise));
  return value >= double(kFewestSteps) && value <= double(kMostSteps) ? int64_t(value) : 0;
}

// Refuses values with which no schedule can be made.
void check(const Process& process, const std::string& subject) {
  if (process.num_train_steps == 0)
    throw UserError(fmt::format("{}: expected {} to {} training steps.", subject, kFewestSteps, kMostSteps));
  if (!(process.shift > 0)) throw UserError(fmt::format("{}: a shift of {}.", subject, process.shift));
  if (process.zero_terminal_snr && process.prediction == Prediction::kEpsilon)
    throw UserError(fmt::format(
        "{}: zero terminal SNR with a prediction of the noise, which does not tell the image there.",
        subject));
  if (!process.is_flow()) diffusion::make_noise_schedule(process);
}

json parse_object(const std::string& text, const std::string& subject) {
  json source = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!source.is_object()) throw UserError(subject + ": expected a JSON object.");
  return source;
}

constexpr std::pair<const char*, Prediction> kDiffusersWords[] = {
    {"epsilon", Prediction::kEpsilon},
    {"sample", Prediction::kXStart},
    {"v_prediction", Prediction::kV},
    {"flow_prediction", Prediction::kFlow},
};

Prediction prediction_of(const json& scheduler, const std::string& subject) {
  if (text_at(scheduler, "_class_name", "").starts_with("FlowMatch")) return Prediction::kFlow;
  const std::string word = text_at(scheduler, "prediction_type", "epsilon");  // the default of every class
  for (const auto& [known, prediction] : kDiffusersWords)
    if (word == known) return prediction;
  throw UserError(fmt::format("{}: prediction_type {} is unknown; --prediction says what the model predicts.",
                              subject, word));
}

// diffusers' solvers call the shift of a flow flow_shift.
double shift_of(const json& scheduler) {
  return number_at(scheduler, "flow_shift", number_at(scheduler, "shift", 1));
}

// The scheduler of the pipeline folder that the weights belong to.
std::optional<fs::path> scheduler_of(const fs::path& path) {
  const fs::path place = fs::absolute(path), folder = fs::is_directory(place) ? place : place.parent_path();
  const fs::path whole = folder.lexically_normal();
  const fs::path named = whole.has_filename() ? whole : whole.parent_path();
  for (const fs::path& base : {named, named.filename() == "transformer" ? named.parent_path() : fs::path{}}) {
    const fs::path config = base / "scheduler" / "scheduler_config.json";
    if (!base.empty() && fs::exists(config)) return config;
  }
  return std::nullopt;
}

}  // namespace

std::string diffusers_word(Prediction prediction) {
  for (const auto& [word, known] : kDiffusersWords)
    if (known == prediction) return word;
  PIXART_CHECK(false, "prediction {}", int(prediction));
}

std::string process_text(const std::optional<Process>& process) {
  if (!process) return "null";
  const Process usual;
  nlohmann::ordered_json result = {{kPredictionKey, word_of(process->prediction)}};
  if (process->zero_terminal_snr) result[kZeroTerminalSnrKey] = true;
  if (process->shift != usual.shift) result[kShiftKey] = process->shift;
  if (process->schedule != usual.schedule) result[kScheduleKey] = process->schedule;
  if (process->num_train_steps != usual.num_train_steps) result[kNumStepsKey] = process->num_train_steps;
  return result.dump();
}

std::optional<Process> parse_process(const std::string& text, const std::string& subject) {
  if (text == "null") return std::nullopt;
  const json source = parse_object(text, subject);
  Process process;
  const std::string word = text_at(source, kPredictionKey, "");
  if (const auto known = words_of_enum<Prediction>(); !contains(known, word))
    throw UserError(fmt::format("{}: {}", subject, unknown_name(kPredictionKey, word, known)));
  process.prediction = enum_of_word<Prediction>(word, kPredictionKey);
  process.zero_terminal_snr = boolean_at(source, kZeroTerminalSnrKey);
  process.shift = number_at(source, kShiftKey, process.shift);
  process.schedule = text_at(source, kScheduleKey, process.schedule);
  process.num_train_steps = count_at(source, kNumStepsKey, process.num_train_steps);
  check(process, subject);
  return process;
}

Process read_scheduler(const fs::path& scheduler_config) {
  const std::string subject = scheduler_config.string();
  const json source = parse_object(read_file(scheduler_config, kLargestConfig), subject);
  Process process;
  process.prediction = prediction_of(source, subject);
  process.num_train_steps = count_at(source, "num_train_timesteps", process.num_train_steps);
  if (process.is_flow()) {
    process.shift = shift_of(source);
  } else {
    process.schedule = text_at(source, "beta_schedule", process.schedule);
    process.zero_terminal_snr = boolean_at(source, "rescale_betas_zero_snr");
  }
  check(process, subject);
  return process;
}

std::optional<Process> stated_process(const fs::path& path, const formats::Metadata& metadata) {
  if (const auto config = scheduler_of(path)) return read_scheduler(*config);
  const auto own = metadata.find(kProcessKey);
  if (own != metadata.end()) return parse_process(own->second, path.string() + ": " + kProcessKey);
  if (metadata.count(kFormatVersionKey) > 0) return Process{};
  return std::nullopt;
}

Process known_process(const std::optional<Process>& chosen, const std::optional<Process>& stated,
                      const std::string& subject) {
  if (chosen) return *chosen;
  if (stated) return *stated;
  throw UserError(fmt::format(
      "{} does not say what the model predicts, and has no scheduler next to it that this program knows. Say it "
      "with --prediction {}; the published DiT and PixArt predict epsilon.",
      subject, join(words_of_enum<Prediction>(), ", ")));
}

}  // namespace pixart::convert
