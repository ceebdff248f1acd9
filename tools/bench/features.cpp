// Reads micro-batches of features as training does, against the official .npz and .npy files on one core
// each, and against the same sets without checksums.
#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "benchmarks.h"
#include "made_features.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/features/feature_reader.h"
#include "pixart/formats/tensor_file.h"
#include "rival.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kChannels = 4096, kLatentSide = 32, kMicroBatch = 32;
constexpr CaptionLengths kLengths{.least = 60, .most = 120};
constexpr const char* kUnchecked = " without checksums";

struct FeaturesArguments {
  fs::path folder = ".", python = ".deps/bench/venv/bin/python", script = "scripts/bench_features.py";
  int64_t samples = 2000, rival_samples = 320;
  int rounds = 5;
};

// Makes the set of the same shards without hash and checksums, as older versions wrote it. Returns its
// folder.
fs::path without_checksums(const fs::path& set) {
  const fs::path folder = set.string() + "-unchecked";
  create_folders(folder);
  for (const auto& entry : fs::directory_iterator(set))
    if (entry.path().filename().string().starts_with("shard-"))
      fs::create_hard_link(entry.path(), folder / entry.path().filename());
  auto manifest = nlohmann::ordered_json::parse(read_file(set / "manifest.json"));
  manifest.erase("index");
  write_file_atomically(folder / "manifest.json", manifest.dump());
  auto index = formats::load_safetensors(set / "index.safetensors");
  std::vector<formats::NamedTensor> tensors;
  for (const auto& [name, tensor] : index.tensors)
    if (!name.ends_with("crc32c")) tensors.push_back({name, tensor});
  index.metadata.erase("format");
  formats::save_safetensors(folder / "index.safetensors", tensors, index.metadata);
  return folder;
}

// Samples per second of one epoch, in its own order.
double read_epoch(const features::FeatureReader& reader, const data::SampleOrder& order, int64_t epoch) {
  const int64_t steps = order.epoch_size() / kMicroBatch;
  const double begun = monotonic_seconds();
  for (int64_t step = 0; step < steps; ++step)
    for (const auto& plan : data::plan_step(order, {.batch_size = kMicroBatch}, epoch * steps + step)) {
      const auto batch = reader(plan);
      PIXART_CHECK(batch.caption.size(0) == kMicroBatch && batch.caption.size(1) == kLengths.most);
    }
  return double(steps * kMicroBatch) / (monotonic_seconds() - begun);
}

void bench_features(const FeaturesArguments& arguments) {
  require_files({arguments.python, arguments.script});
  use_one_core();
  const Scratch scratch(arguments.folder / fmt::format("pixart-bench-features-{}", process_id()));
  const fs::path& work = scratch.path;
  const Samples dataset(arguments.samples);
  const data::SourceConfig source;
  const data::SampleOrder order(1, {{.rows = dataset.size()}});
  write_latents(work / "latents", dataset, kLatentSide);
  const fs::path unchecked_latents = without_checksums(work / "latents");
  std::map<std::string, features::FeatureReader> readers;
  const auto add_reader = [&](const std::string& name, const fs::path& latents, const fs::path& captions) {
    features::FeatureReader& reader = readers[name];
    reader.parts = {{.source = &source,
                     .dataset = &dataset,
                     .latents = std::make_shared<data::LatentSet>(latents),
                     .captions = std::make_shared<data::CaptionSet>(captions)}};
    reader.seed = 1;
    reader.with_captions = true;
    reader.max_tokens = kLengths.most;
  };
  const std::vector<std::string> dtypes = {"bfloat16", "float8_e4m3fn"};
  for (const auto& dtype : dtypes) {
    write_captions(work / dtype, dataset, dtype, kLengths, kChannels);
    add_reader(dtype, work / "latents", work / dtype);
    add_reader(dtype + kUnchecked, unchecked_latents, without_checksums(work / dtype));
  }
  std::map<std::string, std::vector<double>> rates;
  nlohmann::json versions;
  {
    Rival rival({arguments.python, arguments.script, work / "official",
                 std::to_string(arguments.rival_samples), std::to_string(kMicroBatch)});
    for (int round = -1; round < arguments.rounds; ++round) {  // the first round warms the page cache
      const auto keep = [&](const std::string& name, double rate) {
        if (round >= 0) rates[name].push_back(rate);
      };
      for (const auto& [dtype, reader] : readers) keep(dtype, read_epoch(reader, order, round + 1));
      const auto answer = rival.ask("read");
      versions = answer.at("versions");
      keep("official", answer.at("samples_per_second"));
    }
  }
  nlohmann::ordered_json result = {{"benchmark", "features"},
                                   {"conditions", conditions()},
                                   {"rival", versions},
                                   {"samples", arguments.samples},
                                   {"rival_samples", arguments.rival_samples},
                                   {"micro_batch", kMicroBatch},
                                   {"rounds", arguments.rounds}};
  for (const auto& [name, values] : rates) result["samples_per_second"][name] = spread(values);
  for (const auto& dtype : dtypes) {
    result["ratio_to_official"][dtype] = median(rates.at(dtype)) / median(rates.at("official"));
    std::vector<double> ratios;  // of rounds next to each other in time
    for (size_t i = 0; i < rates.at(dtype).size(); ++i)
      ratios.push_back(rates.at(dtype)[i] / rates.at(dtype + kUnchecked)[i]);
    result["ratio_to_unchecked"][dtype] = spread(std::move(ratios));
  }
  std::printf("%s\n", result.dump(1).c_str());
}

}  // namespace

void add_features(CLI::App& app) {
  auto arguments = std::make_shared<FeaturesArguments>();
  auto* command = app.add_subcommand("features",
                                     "Precomputed features from the page cache, against the official .npz "
                                     "layout and against reading without checksums; one core, samples per "
                                     "second.");
  command->add_option("--dir", arguments->folder, "folder in which 3 GB of features are written and removed")
      ->capture_default_str();
  command->add_option("--samples", arguments->samples)
      ->check(CLI::Range(32, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--rival-samples", arguments->rival_samples,
                   "samples of the rival; fewer, because writing one takes 0.1 s")
      ->check(CLI::Range(32, 1'000'000))
      ->capture_default_str();
  command->add_option("--rounds", arguments->rounds)->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_option("--python", arguments->python, "Python with numpy")->capture_default_str();
  command->add_option("--script", arguments->script, "script of the rival")->capture_default_str();
  command->footer(
      "scripts/bench_data.sh makes the Python environment and runs this.\n"
      "Example:\n  pixart_bench features --dir build");
  command->callback([arguments] { bench_features(*arguments); });
}

}  // namespace pixart::bench
