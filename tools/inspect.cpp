#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/formats/safetensors.h"
#include "pixart/train/checkpoint.h"

namespace pixart::tools {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

struct Arguments {
  std::string path;
  bool tensors = false, json = false, verify = false;
};

std::string shape_text(const std::vector<int64_t>& shape) {
  std::vector<std::string> parts;
  for (int64_t side : shape) parts.push_back(std::to_string(side));
  return "[" + join(parts, ", ") + "]";
}

ordered_json describe(const fs::path& file, bool with_tensors) {
  const auto header = formats::read_safetensors_header(file);
  ordered_json result = {
      {"file", file.string()}, {"bytes", header.file_bytes}, {"tensors", header.tensors.size()}};
  int64_t numbers = 0;
  ordered_json by_dtype = ordered_json::object(), list = ordered_json::array();
  for (const auto& [name, info] : header.tensors) {
    int64_t count = 1;
    for (int64_t side : info.shape) count *= side;
    numbers += count;
    by_dtype[info.dtype] = by_dtype.value(info.dtype, int64_t{0}) + count;
    if (with_tensors) list.push_back({{"name", name}, {"dtype", info.dtype}, {"shape", info.shape}});
  }
  result["numbers"] = numbers;
  result["dtypes"] = by_dtype;
  result["metadata"] = header.metadata;
  if (with_tensors) result["list"] = list;
  return result;
}

void print(const ordered_json& file) {
  std::printf("%s: %zu tensors, %s numbers, %s\n", file["file"].get<std::string>().c_str(),
              file["tensors"].get<size_t>(), with_thousands(file["numbers"].get<int64_t>()).c_str(),
              human_bytes(file["bytes"].get<uint64_t>()).c_str());
  for (const auto& [dtype, count] : file["dtypes"].items())
    std::printf("  %-8s %s numbers\n", dtype.c_str(), with_thousands(count.get<int64_t>()).c_str());
  for (const auto& [key, value] : file["metadata"].items())
    std::printf("  %s: %s\n", key.c_str(), value.get<std::string>().c_str());
  if (!file.contains("list")) return;
  for (const auto& tensor : file["list"])
    std::printf("  %-60s %-5s %s\n", tensor["name"].get<std::string>().c_str(),
                tensor["dtype"].get<std::string>().c_str(),
                shape_text(tensor["shape"].get<std::vector<int64_t>>()).c_str());
}

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::exists(path)) throw UserError(path.string() + " does not exist.");
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) throw UserError(path.string() + " holds no .safetensors file.");
  return files;
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "inspect", "Show what a safetensors file, or a folder of them (a checkpoint), holds.");
  command->add_option("PATH", arguments->path, "file or folder")->required();
  command->add_flag("--tensors", arguments->tensors, "list every tensor");
  command->add_flag("--json", arguments->json, "print JSON");
  command->add_flag("--verify", arguments->verify, "check the hashes of a checkpoint folder");
  command->footer(
      "Examples:\n  pixart inspect model.safetensors --tensors\n  pixart inspect "
      "runs/demo/checkpoints/text/step-00001000 --verify");
  command->callback([arguments] {
    ordered_json all = ordered_json::array();
    for (const auto& file : files_of(arguments->path)) all.push_back(describe(file, arguments->tensors));
    if (arguments->json)
      std::printf("%s\n", all.dump(1).c_str());
    else
      for (const auto& file : all) print(file);
    if (!arguments->verify) return;
    const std::string problem = train::verify_checkpoint(arguments->path);
    if (!problem.empty()) throw UserError(arguments->path + ": " + problem);
    if (!arguments->json) std::printf("hashes agree with the manifest\n");
  });
}

}  // namespace pixart::tools
