// From a JPEG in memory to the [3, S, S] float32 tensor of a training sample, against PIL and torchvision, on
// one core each.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/data/transform.h"
#include "pixart/formats/image_file.h"
#include "rival.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

struct DecodeArguments {
  fs::path images = ".deps/bench/pictures", python = ".deps/bench/venv/bin/python",
           script = "scripts/bench_decode.py";
  int size = 256;
  int rounds = 5;
};

std::vector<std::string> read_images(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.path().extension() == ".jpg") paths.push_back(entry.path());
  if (paths.empty())
    throw UserError(
        fmt::format("{} has no .jpg files. scripts/bench_data.sh --setup makes some.", folder.string()));
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> result;
  for (const auto& path : paths) result.push_back(read_file(path));
  return result;
}

// The tensors [images, 3, size, size] and the images per second.
struct Decoded {
  std::vector<at::Tensor> tensors;
  double rate = 0;
};

Decoded decode(const std::vector<std::string>& images, int size, int least_side) {
  Decoded result;
  const double begun = monotonic_seconds();
  for (const auto& bytes : images) {
    const auto image = formats::decode_reduced(bytes, "image", least_side);
    result.tensors.push_back(data::to_tensor(data::cover_and_crop(image, size, size)));
  }
  result.rate = double(images.size()) / (monotonic_seconds() - begun);
  return result;
}

std::vector<at::Tensor> read_tensors(const fs::path& file, size_t count, int size) {
  const std::string bytes = read_file(file);
  const size_t numbers = size_t(3 * size * size);
  if (bytes.size() != count * numbers * sizeof(float))
    throw UserError(fmt::format("{}: {} bytes are not {} images.", file.string(), bytes.size(), count));
  at::Tensor all = at::empty({int64_t(count), 3, size, size}, at::kFloat);
  std::copy_n(bytes.data(), bytes.size(), static_cast<char*>(all.data_ptr()));
  return all.unbind(0);
}

// The difference in units of 1/255: of all images, and of the image that differs most.
nlohmann::ordered_json difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double sum = 0, worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double own = (a[i] - b[i]).abs().mean().item<double>() * 127.5;
    sum += own;
    worst = std::max(worst, own);
  }
  return {{"mean", sum / double(a.size())}, {"worst_picture", worst}};
}

void bench_decode(const DecodeArguments& arguments) {
  require_files({arguments.python, arguments.script});
  use_one_core();
  const auto images = read_images(arguments.images);
  const int size = arguments.size, least_side = data::decode_side(size);
  const fs::path out = fs::temp_directory_path() / fmt::format("pixart-bench-{}.raw", process_id());
  Rival rival({arguments.python, arguments.script, "decode", arguments.images, out, std::to_string(size)});
  std::map<std::string, std::vector<double>> rates;
  std::map<std::string, std::vector<at::Tensor>> tensors;
  nlohmann::json versions;
  for (int round = -1; round < arguments.rounds; ++round) {  // the first round only warms up
    const auto keep = [&](const std::string& name, std::vector<at::Tensor> made, double rate) {
      tensors[name] = std::move(made);
      if (round >= 0) rates[name].push_back(rate);
    };
    for (const auto& [name, least] : {std::pair("ours", least_side), {"ours_full_decode", 0}}) {
      auto decoded = decode(images, size, least);
      keep(name, std::move(decoded.tensors), decoded.rate);
    }
    for (const auto& [name, mode] : {std::pair("torchvision", "full"), {"torchvision_draft", "draft"}}) {
      const auto answer = rival.ask(mode);
      versions = answer.at("versions");
      keep(name, read_tensors(out, images.size(), size), answer.at("images_per_second"));
    }
  }
  fs::remove(out);
  nlohmann::ordered_json result = {{"benchmark", "decode"}, {"conditions", conditions()},
                                   {"rival", versions},     {"pictures", images.size()},
                                   {"size", size},          {"rounds", arguments.rounds}};
  for (const auto& [name, values] : rates) result["images_per_second"][name] = spread(values);
  for (const char* name : {"torchvision", "torchvision_draft", "ours_full_decode"})
    result["ratio_to"][name] = median(rates.at("ours")) / median(rates.at(name));
  for (const auto& [one, other] : {std::pair("ours", "torchvision"),
                                   {"ours_full_decode", "torchvision"},
                                   {"ours", "ours_full_decode"},
                                   {"torchvision_draft", "torchvision"}})
    result["difference_in_255ths"][fmt::format("{} from {}", one, other)] =
        difference(tensors.at(one), tensors.at(other));
  std::printf("%s\n", result.dump(1).c_str());
}

}  // namespace

void add_decode(CLI::App& app) {
  auto arguments = std::make_shared<DecodeArguments>();
  auto* command = app.add_subcommand(
      "decode", "JPEG to training tensor, against PIL and torchvision; one core, images per second.");
  command->add_option("--pictures", arguments->images, "folder of .jpg files")->capture_default_str();
  command->add_option("--size", arguments->size)->check(CLI::Range(1, 4096))->capture_default_str();
  command->add_option("--rounds", arguments->rounds)->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_option("--python", arguments->python, "Python with numpy, pillow and torchvision")
      ->capture_default_str();
  command->add_option("--script", arguments->script, "script of the rival")->capture_default_str();
  command->footer(
      "scripts/bench_data.sh makes the images and the Python environment, and runs this.\n"
      "Example:\n  pixart_bench decode --rounds 9");
  command->callback([arguments] { bench_decode(*arguments); });
}

}  // namespace pixart::bench
