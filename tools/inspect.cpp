#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/print.h"
#include "pixart/base/progress.h"
#include "pixart/base/words.h"
#include "pixart/convert/inspect.h"
#include "pixart/convert/stated_process.h"
#include "pixart/formats/bounded_json.h"
#include "pixart/formats/hash.h"
#include "pixart/run/checkpoint_folder.h"

namespace pixart::tools {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

struct InspectArguments {
  std::vector<std::string> paths;
  bool tensors = false, digests = false, json = false, verify = false;
};

ordered_json json_of(const convert::WeightReport& report, const InspectArguments& arguments) {
  const auto& weights = report.opened.weights;
  ordered_json files = ordered_json::array();
  for (const auto& file : weights.files) files.push_back(file.string());
  ordered_json result = {{"path", report.opened.path.string()},
                         {"files", files},
                         {"kind", weights.kind},
                         {"layout", convert::layout_name(report.opened.identity.layout)},
                         {"summary", report.opened.identity.summary},
                         {"assumed", report.opened.identity.assumed},
                         {"notes", weights.notes},
                         {"tensors", weights.tensors.size()},
                         {"numbers", report.numbers},
                         {"bytes", weights.bytes()},
                         {"dtypes", report.dtypes},
                         {"other_sets", weights.other_sets},
                         {"license", report.license},
                         {"metadata", weights.metadata}};
  const std::string architecture = convert::architecture_text(report.opened.identity.architecture);
  if (!architecture.empty()) result["architecture"] = formats::parse_ordered(architecture);
  if (const auto& process = report.opened.identity.process)
    result["process"] = formats::parse_ordered(convert::process_text(process));
  if (!arguments.tensors) return result;
  result["list"] = ordered_json::array();
  for (const auto& [name, info] : weights.tensors) {
    ordered_json entry = {{"name", name}, {"dtype", formats::dtype_text(info.dtype)}, {"shape", info.shape}};
    if (arguments.digests) {
      const at::Tensor tensor = weights.read(name);
      entry["sha256"] = formats::sha256({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
    }
    result["list"].push_back(std::move(entry));
  }
  return result;
}

void print(const convert::WeightReport& report, bool with_tensors) {
  const auto& weights = report.opened.weights;
  print_line("{}: {}", report.opened.path.string(), convert::layout_name(report.opened.identity.layout));
  const auto line = [](const char* what, const std::string& text) {
    if (!text.empty()) print_line("  {:<12} {}", what, text);
  };
  line("model", report.opened.identity.summary);
  if (const auto& process = report.opened.identity.process) line("predicts", convert::process_text(process));
  for (const auto& note : weights.notes) line("note", note);
  for (const auto& assumption : report.opened.identity.assumed) line("assumed", assumption);
  line("file", fmt::format("{}, {} tensors, {} numbers, {}", weights.kind, weights.tensors.size(),
                           with_thousands(report.numbers), human_bytes(weights.bytes())));
  for (const auto& [dtype, count] : report.dtypes) line("dtype", dtype + "  " + with_thousands(count));
  line("also holds", join(weights.other_sets, ", "));
  line("licence", report.license);
  for (const auto& [key, value] : weights.metadata) line("metadata", key + ": " + value);
  if (!with_tensors) return;
  for (const auto& [name, info] : weights.tensors)
    print_line("  {:<60} {:<5} {}", name, formats::dtype_text(info.dtype), shape_text(info.shape));
}

// Called before any content of the folder is used.
void verify_hashes(const fs::path& path) {
  if (!fs::is_directory(path) || !fs::exists(path / "manifest.json")) return;
  const auto found = run::verify_checkpoint(path);
  if (!found.is_good())
    throw UserError(fmt::format("{}: {}.", path.string(), found.text),
                    found.verdict == run::Verdict::kUnreadable ? ExitCode::kStorage : ExitCode::kBadInput);
  for (const auto& name : found.unnamed)
    log::warning("{}: manifest.json does not name it, so it was not verified and is never read",
                 (path / name).string());
}

// Verifies checksums inside the files, and that all values are finite.
void verify_numbers(const fs::path& path, const std::vector<convert::WeightReport>& reports, bool quiet) {
  Problems problems;
  for (const auto& report : reports) {
    Progress progress("verify " + report.opened.path.filename().string(),
                      int64_t(report.opened.weights.bytes() >> 20), "MiB");
    for (const auto& line : convert::find_not_finite(
             report.opened.weights, [&](uint64_t bytes) { progress.update(int64_t(bytes >> 20)); }))
      problems.add(report.opened.path.filename().string() + ": " + line);
  }
  problems.throw_if_any(path.string());
  if (!quiet) print_line("verified: checksums agree, all values are finite");
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto arguments = std::make_shared<InspectArguments>();
  auto* command = app.add_subcommand(
      "inspect", "Show the content of a weight file, a model folder, a pipeline folder or a checkpoint.");
  command->add_option("PATH", arguments->paths, "files or folders")->required();
  command->add_flag("--tensors", arguments->tensors, "list every tensor");
  command->add_flag("--digests", arguments->digests,
                    "with --tensors --json: SHA-256 of each tensor's bytes, row-major, little-endian");
  command->add_flag("--json", arguments->json, "print JSON");
  command->add_flag("--verify", arguments->verify,
                    "read everything: check hashes and checksums, and that no value is NaN or infinite");
  command->footer(
      "Examples:\n  pixart inspect PixArt-XL-2-512x512.pth --tensors\n  pixart inspect DiT-XL-2-256x256.pt "
      "--verify\n"
      "  pixart inspect runs/demo/checkpoints/text/step-00001000 --verify");
  command->callback([arguments] {
    ordered_json all = ordered_json::array();
    for (const auto& path : arguments->paths) {
      if (arguments->verify) verify_hashes(path);
      const auto reports = convert::inspect(path);
      for (const auto& report : reports)
        if (arguments->json)
          all.push_back(json_of(report, *arguments));
        else
          print(report, arguments->tensors);
      if (arguments->verify) verify_numbers(path, reports, arguments->json);
    }
    if (arguments->json) print_json(all.dump(1, ' ', false, ordered_json::error_handler_t::replace));
  });
}

}  // namespace pixart::tools
