#include "pixart/convert/stated_process.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "pipeline_folder.h"
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
                     *kConsistencyKey = "consistency", *kShiftKey = "shift", *kScheduleKey = "schedule",
                     *kNumStepsKey = "num_train_steps";

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
  if (process.consistency && process.is_flow())
    throw UserError(subject + ": a consistency model of a flow, which this program does not have.");
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
double shift_of(const json& scheduler, const std::string& subject) {
  if (boolean_at(scheduler, "use_dynamic_shifting"))
    throw UserError(subject +
                    ": use_dynamic_shifting, with which the shift depends on the size of the image, is not "
                    "supported; --prediction flow --shift X says one.");
  return number_at(scheduler, "flow_shift", number_at(scheduler, "shift", 1));
}

// The name of the schedule. Its betas must be those of make_noise_schedule().
std::string schedule_of(const json& scheduler, const Process& process, const std::string& subject) {
  constexpr double kFirst = 0.0001, kLast = 0.02, kRounding = 1e-6;  // diffusers' defaults
  const std::string name = text_at(scheduler, "beta_schedule", process.schedule);
  const auto differs = [&](const char* key, double usual) {
    const double expected = usual * 1000.0 / double(process.num_train_steps);
    return std::abs(number_at(scheduler, key, usual) - expected) > kRounding * expected;
  };
  const bool has_own = scheduler.contains("trained_betas") && !scheduler["trained_betas"].is_null();
  if (has_own || (name == process.schedule && (differs("beta_start", kFirst) || differs("beta_end", kLast))))
    throw UserError(
        subject +
        ": other betas than those of DiT and PixArt (linear from 0.0001 to 0.02 for 1000 steps); such "
        "a model cannot be trained or sampled here.");
  return name;
}

// The scheduler of the pipeline folder that the weights belong to.
std::optional<fs::path> scheduler_of(const fs::path& path) {
  return pipeline_file(path, fs::path("scheduler") / "scheduler_config.json");
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
  if (process->consistency) result[kConsistencyKey] = true;
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
  process.consistency = boolean_at(source, kConsistencyKey);
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
    process.shift = shift_of(source, subject);
  } else {
    process.schedule = schedule_of(source, process, subject);
    process.zero_terminal_snr = boolean_at(source, "rescale_betas_zero_snr");
    process.consistency = text_at(source, "_class_name", "") == kConsistencyScheduler;
  }
  check(process, subject);
  return process;
}

std::optional<Process> process_in(const formats::Metadata& metadata, const std::string& subject) {
  const auto own = metadata.find(kProcessKey);
  if (own != metadata.end()) return parse_process(own->second, subject + ": " + kProcessKey);
  if (metadata.count(kFormatVersionKey) > 0) return Process{};
  return std::nullopt;
}

std::optional<Process> stated_process(const fs::path& path, const formats::Metadata& metadata) {
  if (const auto config = scheduler_of(path)) return read_scheduler(*config);
  return process_in(metadata, path.string());
}

std::optional<Process> process_with(const ChosenProcess& chosen, const std::optional<Process>& stated,
                                    const std::string& subject) {
  if (!chosen.prediction && !stated) return std::nullopt;
  Process process = stated.value_or(Process{});
  if (chosen.prediction && (!stated || *chosen.prediction != stated->prediction)) {
    process.prediction = *chosen.prediction;
    process.zero_terminal_snr = process.consistency = false;
    process.shift = Process{}.shift;
  }
  const std::string word = word_of(process.prediction);
  if (chosen.zero_terminal_snr && (process.prediction == Prediction::kEpsilon || process.is_flow()))
    throw UserError(fmt::format(
        "{}: --zero-terminal-snr has no effect with a model that predicts {}; it is for v and x_start.",
        subject, word));
  if (chosen.shift && !process.is_flow())
    throw UserError(fmt::format("{}: a shift has no effect with a model that predicts {}; it is for flow.",
                                subject, word));
  process.zero_terminal_snr = process.zero_terminal_snr || chosen.zero_terminal_snr;
  process.shift = chosen.shift.value_or(process.shift);
  return process;
}

Process known_process(const ChosenProcess& chosen, const std::optional<Process>& stated,
                      const std::string& subject) {
  if (const auto process = process_with(chosen, stated, subject)) return *process;
  throw UserError(fmt::format(
      "{} does not say what the model predicts, and has no scheduler next to it that this program knows. Say it "
      "with --prediction {}; the published DiT and PixArt predict epsilon.",
      subject, join(words_of_enum<Prediction>(), ", ")));
}

}  // namespace pixart::convert
