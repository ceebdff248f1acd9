// Saving while training goes on: how long the training waits, and how long until the checkpoint is durable,
// against cp and sync of the same files on the same disk.
#include <ATen/ATen.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/nn/device.h"
#include "pixart/run/checkpoint_writer.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

struct CheckpointArguments {
  fs::path folder = ".";
  int64_t parameters = 50'000'000;
  int rounds = 3;
  std::string device = "cpu";
  bool json = true;
};

// Model, EMA and both moments, in tensors of the usual size.
run::CheckpointContent state_of(const CheckpointArguments& arguments) {
  constexpr int64_t kTensor = 1152 * 1152;
  run::CheckpointContent content{.files = {{"model", {}}, {"ema", {}}, {"optimizer", {}}}, .state = "{}\n"};
  const auto options = at::TensorOptions().dtype(at::kFloat).device(nn::select_device(arguments.device));
  const auto add = [&](size_t file, const std::string& prefix) {
    const at::Tensor flat = at::rand(arguments.parameters, options);
    for (int64_t begin = 0; begin < arguments.parameters; begin += kTensor)
      content.files[file].tensors.push_back(
          {fmt::format("{}{}", prefix, begin),
           flat.narrow(0, begin, std::min(kTensor, arguments.parameters - begin))});
  };
  add(0, "");
  add(1, "");
  add(2, "exp_avg.");
  add(2, "exp_avg_sq.");
  return content;
}

double seconds_of(const std::string& command) {
  const double start = monotonic_seconds();
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) throw UserError(command + " failed");
  return monotonic_seconds() - start;
}

uint64_t bytes_below(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) bytes += entry.file_size();
  return bytes;
}

// Runs `rounds` of each in turn, so that a busy disk slows all equally.
void bench_checkpoint(const CheckpointArguments& arguments) {
  const fs::path work = arguments.folder / fmt::format("pixart-bench-checkpoint-{}", process_id());
  create_folders(work);
  auto content = state_of(arguments);
  std::map<std::string, std::vector<double>> seconds;
  double first_stall = 0;
  uint64_t bytes = 0;
  {
    run::CheckpointWriter writer(work / "stage", {}, run::OnSaveError::kStop);
    for (int round = 0; round <= arguments.rounds; ++round) {
      content.step = round;
      const double start = monotonic_seconds();
      writer.start(content);
      const double stall = monotonic_seconds() - start;
      writer.finish();
      const double durable = monotonic_seconds() - start;
      const fs::path saved = work / "stage" / fmt::format("step-{:08d}", round), copy = work / "copy";
      if (round == 0) {  // this save makes the host buffers
        first_stall = stall;
        bytes = bytes_below(saved);
        continue;
      }
      seconds["stall"].push_back(stall);
      seconds["durable"].push_back(durable);
      seconds["cp_and_sync"].push_back(
          seconds_of(fmt::format("cp -r '{0}' '{1}' && sync '{1}'/* '{1}'", saved.string(), copy.string())));
      const double verify = monotonic_seconds();
      if (!run::verify_checkpoint(saved).is_good()) throw UserError("the saved checkpoint does not verify");
      seconds["verify"].push_back(monotonic_seconds() - verify);
      fs::remove_all(copy);
    }
  }
  nlohmann::ordered_json result = {{"benchmark", "checkpoint"},  {"parameters", arguments.parameters},
                                   {"device", arguments.device}, {"bytes", bytes},
                                   {"rounds", arguments.rounds}, {"first_stall_ms", 1e3 * first_stall}};
  for (auto& [name, all] : seconds) {
    std::sort(all.begin(), all.end());
    const double median = all[all.size() / 2];
    result["seconds"][name] = {{"median", median}, {"min", all.front()}, {"max", all.back()}};
    result["gigabytes_per_second"][name] = double(bytes) / median / 1e9;
  }
  const auto median = [&](const char* name) { return result["seconds"][name]["median"].get<double>(); };
  result["stall_ms"] = 1e3 * median("stall");
  result["speed_of_cp_and_sync"] = median("cp_and_sync") / median("durable");
  result["stall_of_a_save_that_waits"] = median("stall") / median("durable");
  std::printf("%s\n", result.dump(1).c_str());
  fs::remove_all(work);
}

}  // namespace

void add_checkpoint(CLI::App& app) {
  auto arguments = std::make_shared<CheckpointArguments>();
  auto* command = app.add_subcommand(
      "checkpoint",
      "An asynchronous save: how long training waits, GB/s until durable, against cp and sync.");
  command
      ->add_option("--parameters", arguments->parameters,
                   "parameters of the model; 16 bytes are saved for each")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000'000'000}))
      ->capture_default_str();
  command
      ->add_option("--dir", arguments->folder,
                   "folder on the disk to measure; needs four times the size of the state")
      ->capture_default_str();
  command->add_option("--device", arguments->device, "device of the state: cpu or cuda")
      ->capture_default_str();
  command->add_option("--rounds", arguments->rounds)->check(CLI::Range(1, 100))->capture_default_str();
  command->add_flag("--json", arguments->json, "print JSON (as always)");
  command->footer("Example:\n  pixart_bench checkpoint --parameters 50000000 --json");
  command->callback([arguments] { bench_checkpoint(*arguments); });
}

}  // namespace pixart::bench
