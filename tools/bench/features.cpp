// Reads micro-batches of features as training does, against the official .npz and .npy files on one core
// each, and against the same sets without checksums.
#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/random.h"
#include "pixart/features/feature_reader.h"
#include "pixart/formats/tensor_file.h"
#include "rival.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kChannels = 4096, kMostTokens = 120, kLeastTokens = 60, kMicroBatch = 32;
constexpr int64_t kLatentChannels = 4, kLatentSide = 32;
constexpr int64_t kRowsPerShard = 256;
constexpr const char* kUnchecked = " without checksums";

struct Arguments {
  fs::path folder = ".", python = ".deps/bench/venv/bin/python", script = "scripts/bench_features.py";
  int64_t samples = 2000, rival_samples = 320;
  int rounds = 5;
};

// A folder that is removed at the end, also after an error.
struct Scratch {
  fs::path path;
  explicit Scratch(fs::path folder) : path(std::move(folder)) { create_folders(path); }
  ~Scratch() {
    std::error_code none;
    fs::remove_all(path, none);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// Samples without images, each with its own caption.
class Samples : public data::Dataset {
 public:
  explicit Samples(int64_t count) : count_(count) {}
  int64_t size() const override { return count_; }
  data::Row row(int64_t index) const override {
    const std::string key = std::to_string(index);
    return {.key = key, .captions = {{.name = "caption", .text = key}}};
  }
  std::string bytes(int64_t) const override { throw InternalError("no images"); }
  const std::vector<std::string>& class_names() const override { return names_; }
  const std::vector<data::Rejection>& rejected() const override { return rejected_; }
  std::string fingerprint() const override { return "bench"; }

 private:
  int64_t count_;
  std::vector<std::string> names_;
  std::vector<data::Rejection> rejected_;
};

int64_t tokens_of(int64_t row) {
  return kLeastTokens + uniform_below({.seed = 3}, kMostTokens - kLeastTokens + 1, row);
}

data::FeatureWork work_of(const fs::path& folder, const std::string& kind, const std::string& dtype,
                          int64_t rows) {
  data::FeatureWork work;
  work.folder = folder;
  work.manifest = {.kind = kind,
                   .source = "bench",
                   .rows = rows,
                   .rejected = 0,
                   .inputs = {{"dtype", dtype}},
                   .shards = {}};
  work.items = rows;
  work.items_per_shard = kRowsPerShard;
  return work;
}

void write_latents(const fs::path& folder, const data::Dataset& dataset) {
  auto work = work_of(folder, "latents", "float16", dataset.size());
  work.write_shard = [](const fs::path& file, int64_t first, int64_t last) {
    std::vector<data::LatentRecord> records;
    for (int64_t row = first; row < last; ++row)
      records.push_back(
          {.row = row,
           .height = 256,
           .width = 256,
           .moments = at::randn({1, 2, kLatentChannels, kLatentSide, kLatentSide}).to(at::kHalf)});
    data::write_latent_shard(file, records, {}, at::kHalf);
  };
  work.write_index = [&](const std::vector<fs::path>& shards) {
    return data::write_latent_index(folder, shards, "bench", dataset);
  };
  data::make_feature_set(work);
}

// Features of random tokens from a pool: their values do not matter, their size does.
void write_captions(const fs::path& folder, const data::Dataset& dataset, const std::string& dtype) {
  const at::Tensor pool = at::randn({2 * kMostTokens, kChannels}).to(at::kBFloat16).to(at::kFloat);
  auto work = work_of(folder, "captions", dtype, dataset.size());
  work.write_shard = [&](const fs::path& file, int64_t first, int64_t last) {
    std::vector<at::Tensor> features;
    for (int64_t row = first; row < last; ++row)
      features.push_back(pool.narrow(0, row % kMostTokens, tokens_of(row)));
    data::write_caption_shard(file, features, 0,
                              enum_of_word<data::CaptionDtype>(dtype, "type of caption features"));
  };
  work.write_index = [&](const std::vector<fs::path>& shards) {
    data::write_caption_index(folder, shards, data::find_distinct_captions(dataset));
    return int64_t{0};
  };
  data::make_feature_set(work);
}

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
      PIXART_CHECK(batch.caption.size(0) == kMicroBatch && batch.caption.size(1) == kMostTokens);
    }
  return double(steps * kMicroBatch) / (monotonic_seconds() - begun);
}

void bench(const Arguments& arguments) {
  require_files({arguments.python, arguments.script});
  use_one_core();
  const Scratch scratch(arguments.folder / fmt::format("pixart-bench-features-{}", process_id()));
  const fs::path& work = scratch.path;
  const Samples dataset(arguments.samples);
  const data::SourceConfig source;
  const data::SampleOrder order(1, {{.rows = dataset.size()}});
  write_latents(work / "latents", dataset);
  const fs::path unchecked_latents = without_checksums(work / "latents");
  std::map<std::string, features::FeatureReader> readers;
  const auto add_reader = [&](const std::string& name, const fs::path& latents, const fs::path& captions) {
    readers[name] = {.parts = {{.source = &source,
                                .dataset = &dataset,
                                .latents = std::make_shared<data::LatentSet>(latents),
                                .captions = std::make_shared<data::CaptionSet>(captions)}},
                     .seed = 1,
                     .with_captions = true,
                     .max_tokens = kMostTokens};
  };
  const std::vector<std::string> dtypes = {"bfloat16", "float8_e4m3fn"};
  for (const auto& dtype : dtypes) {
    write_captions(work / dtype, dataset, dtype);
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
  auto arguments = std::make_shared<Arguments>();
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
  command->callback([arguments] { bench(*arguments); });
}

}  // namespace pixart::bench
