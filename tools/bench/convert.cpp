// pixart convert of a synthetic official .pth against `cp` of the same file on the same disk; with --sync,
// against `cp` and `sync`.
#include <ATen/ATen.h>
#include <fcntl.h>
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
#include "pixart/models/transformer.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

struct ConvertArguments {
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
    if (std::freopen("/dev/null", "w", stdout) == nullptr) ::_exit(127);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  if (status != 0) throw UserError(fmt::format("{} {} failed", command[0], command[1]));
  return {monotonic_seconds() - start, uint64_t(usage.ru_maxrss) << 10};
}

// All names and shapes of the model; every tensor has the same pattern of values.
formats::Weights synthetic(const models::TransformerConfig& config) {
  const auto state =
      std::make_shared<nn::StateDict>(nn::StateDictOptions{.dtype = at::kFloat, .device = at::kMeta});
  const models::Transformer model(nn::Scope(*state), config);
  formats::Weights weights;
  for (const auto& item : state->items())
    weights.tensors.emplace(item.name, formats::WeightInfo{at::kFloat, item.tensor.sizes().vec()});
  weights.read = [state, shape = config.shape()](const std::string& name) {
    if (name == "pos_embed") {
      const int64_t side = shape.input_size / shape.patch_size;
      return models::sincos_positions(shape.hidden_size, side, side, side, 1.0);
    }
    const at::Tensor tensor = state->get(name);
    return at::arange(tensor.numel()).remainder(977).div(977.0).sub(0.5).view(tensor.sizes()).contiguous();
  };
  return weights;
}

// Removes a file from the page cache, so that the next reader goes to the disk.
void leave_cache(const fs::path& path) {
  sync_path(path);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 || ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) != 0)
    throw UserError(fmt::format("cannot remove {} from the page cache.", path.string()));
  ::close(descriptor);
}

double median_of(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

struct Commands {
  std::string source;
  std::map<std::string, std::vector<std::string>> of;  // by name; the last word is the output
};

// Runs the commands in turn, so that a busy disk slows all equally. With `cached` the source is in memory
// before each, as if it had just been written; without it, each reads it from the disk.
nlohmann::ordered_json compare(const Commands& commands, int rounds, bool cached) {
  std::map<std::string, std::vector<double>> seconds;
  std::map<std::string, uint64_t> peaks;
  for (int i = 0; i < rounds; ++i) {
    for (const auto& [name, command] : commands.of) {
      fs::remove_all(command.back());
      if (cached) {
        run({"cp", commands.source, "/dev/null"});
      } else {
        leave_cache(commands.source);
      }
      const Measured result = run(command);
      seconds[name].push_back(result.seconds);
      peaks[name] = std::max(peaks[name], result.peak_bytes);
      if (name == "cp")
        seconds["cp_and_sync"].push_back(result.seconds + run({"sync", command.back()}).seconds);
    }
  }
  nlohmann::ordered_json result;
  for (const auto& [name, all] : seconds) {
    result["seconds"][name] = {{"median", median_of(all)},
                               {"min", *std::min_element(all.begin(), all.end())},
                               {"max", *std::max_element(all.begin(), all.end())}};
  }
  const double bytes = double(fs::file_size(commands.source));
  for (const std::string name : {"to_safetensors", "to_diffusers"}) {
    const std::string synced = name + "_and_sync";
    result["ratio"][name] = {
        {"speed_of_cp", median_of(seconds.at("cp")) / median_of(seconds.at(name))},
        {"synced_speed_of_cp_and_sync", median_of(seconds.at("cp_and_sync")) / median_of(seconds.at(synced))},
        {"peak_memory_of_file", double(std::max(peaks.at(name), peaks.at(synced))) / bytes}};
  }
  return result;
}

void bench_convert(const ConvertArguments& arguments) {
  const fs::path work = arguments.folder / "pixart-bench-convert";
  create_folders(work);
  const std::string pixart = (fs::read_symlink("/proc/self/exe").parent_path() / "pixart").string();
  const std::string source = work / "model.pth";
  const std::string file = work / "model.safetensors", folder = work / "diffusers";
  const Commands commands{source,
                          {{"cp", {"cp", source, work / "copy.pth"}},
                           {"to_safetensors", {pixart, "convert", source, file}},
                           {"to_diffusers", {pixart, "convert", source, folder}},
                           {"to_safetensors_and_sync", {pixart, "convert", "--sync", source, file}},
                           {"to_diffusers_and_sync", {pixart, "convert", "--sync", source, folder}}}};
  formats::write_pth(source, synthetic(models::published_transformer(arguments.model)));
  const nlohmann::ordered_json result = {
      {"benchmark", "convert"},
      {"model", arguments.model},
      {"file_bytes", fs::file_size(source)},
      {"rounds", arguments.rounds},
      {"source_on_disk", compare(commands, arguments.rounds, /*cached=*/false)},
      {"source_in_memory", compare(commands, arguments.rounds, /*cached=*/true)}};
  std::printf("%s\n", result.dump(1).c_str());
  fs::remove_all(work);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto arguments = std::make_shared<ConvertArguments>();
  auto* command = app.add_subcommand(
      "convert",
      "pixart convert of an official .pth to safetensors and to a diffusers folder, against cp; with --sync, "
      "against cp and sync.");
  command
      ->add_option("--dir", arguments->folder,
                   "folder on the disk to measure; needs five times the size of the file")
      ->capture_default_str();
  command->add_option("--model", arguments->model, "PixArt-XL/2 or PixArt-MS-XL/2")->capture_default_str();
  command->add_option("--rounds", arguments->rounds)->check(CLI::Range(1, 100))->capture_default_str();
  command->footer("Example:\n  pixart_bench convert --dir build");
  command->callback([arguments] { bench_convert(*arguments); });
}

}  // namespace pixart::bench
