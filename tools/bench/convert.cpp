// pixart convert of a synthetic official .pth against `cp` of the same file on the same disk.
#include <ATen/ATen.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/weights.h"
#include "pixart/models/pixart.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

struct Arguments {
  fs::path folder = ".";
  std::string model = "PixArt-XL/2";
  int rounds = 3;
};

struct Measured {
  double seconds;
  uint64_t peak_bytes;
};

Measured run(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const double start = monotonic_seconds();
  const pid_t child = ::fork();
  if (child == 0) {
    std::fclose(stdout);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  if (status != 0) throw UserError(fmt::format("{} {} failed", command[0], command[1]));
  return {monotonic_seconds() - start, uint64_t(usage.ru_maxrss) << 10};
}

// All names and shapes of the model, every tensor with the same pattern of numbers.
formats::Weights synthetic(const models::PixArtConfig& config) {
  const auto state =
      std::make_shared<nn::StateDict>(nn::StateDictOptions{.dtype = at::kFloat, .device = at::kMeta});
  const models::PixArt model(nn::Scope(*state), config);
  formats::Weights weights;
  for (const auto& item : state->items())
    weights.tensors.emplace(item.name, formats::WeightInfo{at::kFloat, item.tensor.sizes().vec()});
  weights.read = [state, config](const std::string& name) {
    if (name == "pos_embed") {
      const int64_t side = config.input_size / config.patch_size;
      return models::sincos_positions(config.hidden_size, side, side, side, config.position_scale);
    }
    const at::Tensor shape = state->get(name);
    return at::arange(shape.numel()).remainder(977).div(977.0).sub(0.5).view(shape.sizes()).contiguous();
  };
  return weights;
}

// The medians of `rounds` runs in turn, so that a busy disk hits all alike.
void bench(const Arguments& arguments) {
  const fs::path work = arguments.folder / "pixart-bench-convert";
  create_folders(work);
  const std::string pixart = (fs::read_symlink("/proc/self/exe").parent_path() / "pixart").string();
  const std::string source = work / "model.pth", copy = work / "copy.pth", file = work / "model.safetensors",
                    folder = work / "diffusers";
  formats::write_pth(source, synthetic(models::pixart_preset(arguments.model)));
  std::map<std::string, std::vector<double>> seconds;
  std::map<std::string, uint64_t> peaks;
  const auto measure = [&](const std::string& name, const std::vector<std::string>& command) {
    fs::remove_all(command.back());
    const Measured result = run(command);
    seconds[name].push_back(result.seconds);
    peaks[name] = std::max(peaks[name], result.peak_bytes);
  };
  run({"cp", source, copy});  // the source is in the page cache from here on
  for (int i = 0; i < arguments.rounds; ++i) {
    measure("cp", {"cp", source, copy});
    seconds["cp_and_sync"].push_back(seconds["cp"].back() + run({"sync", copy}).seconds);
    measure("to_safetensors", {pixart, "convert", source, file});
    measure("to_diffusers", {pixart, "convert", source, folder});
  }
  const uint64_t bytes = fs::file_size(source);
  nlohmann::ordered_json result = {{"benchmark", "convert"},
                                   {"model", arguments.model},
                                   {"file_bytes", bytes},
                                   {"rounds", arguments.rounds}};
  for (auto& [name, all] : seconds) {
    std::sort(all.begin(), all.end());
    result["seconds"][name] = {{"median", all[all.size() / 2]}, {"min", all.front()}, {"max", all.back()}};
  }
  for (const char* name : {"to_safetensors", "to_diffusers"}) {
    const double median = seconds.at(name)[seconds.at(name).size() / 2];
    const auto& cp = seconds.at("cp");
    const auto& sync = seconds.at("cp_and_sync");
    result["ratio"][name] = {{"speed_of_cp", cp[cp.size() / 2] / median},
                             {"speed_of_cp_and_sync", sync[sync.size() / 2] / median},
                             {"peak_memory_of_file", double(peaks.at(name)) / double(bytes)}};
  }
  std::printf("%s\n", result.dump(1).c_str());
  fs::remove_all(work);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "convert", "pixart convert of an official .pth to safetensors and to a diffusers folder, against cp.");
  command
      ->add_option("--dir", arguments->folder, "on the disk to measure; five times the file's size is needed")
      ->capture_default_str();
  command->add_option("--model", arguments->model, "PixArt-XL/2 or PixArt-MS-XL/2")->capture_default_str();
  command->add_option("--rounds", arguments->rounds)->check(CLI::Range(1, 100))->capture_default_str();
  command->footer("Example:\n  pixart_bench convert --dir build");
  command->callback([arguments] { bench(*arguments); });
}

}  // namespace pixart::bench
