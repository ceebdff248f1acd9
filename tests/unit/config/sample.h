// A config struct with every type of member, for the tests of this folder.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/config/config.h"

namespace pixart::config::test {

struct Optimizer {
  double lr = 2e-5;
  std::vector<double> betas = {0.9, 0.999};
  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("lr", s.lr, "Peak learning rate.", positive().needs_permission("the next steps use it"));
    v("betas", s.betas, "Decay rates.", in_range(0, 1).count(2));
  }
};

struct Stage {
  std::string name;
  int64_t steps = 0;
  std::string schedule = "constant";
  Optimizer optimizer{.lr = 1e-4};
  std::optional<Optimizer> discriminator;
  int64_t batch_size = 8, micro_batch_size = 8;
  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("name", s.name, "Name of the stage.", required());
    v("steps", s.steps, "Optimizer steps.", positive().required().needs_permission("it ends there"));
    v("schedule", s.schedule, "Learning rate over the steps.", one_of({"constant", "cosine"}));
    v("optimizer", s.optimizer, "The optimizer.", any());
    v("discriminator", s.discriminator, "A second optimizer.", any());
    v("batch_size", s.batch_size, "Samples per step.", positive());
    v("micro_batch_size", s.micro_batch_size, "Samples per pass.", positive());
  }
  void validate(std::vector<std::string>& problems) const {
    if (batch_size % micro_batch_size != 0)
      problems.push_back("batch_size is no multiple of micro_batch_size");
  }
};

struct Limits {
  int64_t memory = 0;
  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("memory", s.memory, "Bytes | pages of <n>.", not_negative().required());
  }
};

struct RunConfig {
  std::filesystem::path folder;
  bool compile = false;
  int64_t seed = 0;
  double ratio = 0.5;
  std::optional<double> cap;
  std::optional<std::filesystem::path> weights;
  std::vector<std::string> prompts;
  std::vector<bool> flags;
  std::vector<int64_t> levels = {1, 2, 3};
  std::vector<Stage> stages;
  std::optional<Limits> limits;
  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("folder", s.folder, "Where everything is written.", required().free());
    v("compile", s.compile, "Compile first.", any());
    v("seed", s.seed, "Seed.", any());
    v("ratio", s.ratio, "A share.", any());
    v("cap", s.cap, "A limit.", positive().free());
    v("weights", s.weights, "Weights to start from.", any());
    v("prompts", s.prompts, "Captions.", any().free());
    v("flags", s.flags, "Switches.", any());
    v("levels", s.levels, "Levels.", at_least(1));
    v("stages", s.stages, "Stages, in order.", any());
    v("limits", s.limits, "Limits.", any().free());
  }
  void validate(std::vector<std::string>& problems) const {
    if (stages.size() > 3) problems.push_back("more than three stages");
    for (size_t i = 0; i < stages.size(); ++i)
      if (stages[i].steps > 1000)
        problems.push_back("stages." + std::to_string(i) + ": steps is more than 1000");
    if (limits && limits->memory > 1000000) problems.push_back("limits: memory is more than 1000000");
    for (const int64_t level : levels)
      if (level > 1000) problems.push_back("a level is more than 1000");
  }
};

// The message of the UserError, or "" without one.
inline std::string error_of(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  try {
    read_text<RunConfig>(yaml, "run.yaml", overrides);
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

// What is said of `line` behind "folder: f".
inline std::string error_with(const std::string& line) { return error_of("folder: f\n" + line + "\n"); }

inline RunConfig run_with(const std::string& lines, const std::vector<std::string>& overrides = {}) {
  return read_text<RunConfig>("folder: f\n" + lines + "\n", "run.yaml", overrides);
}

}  // namespace pixart::config::test
