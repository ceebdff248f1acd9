// Reads and decodes the images of tar shards from a server on this machine, from the cache and without one,
// against the same shards on the disk. The server takes processor time, too.
#include <filesystem>
#include <memory>

#include "benchmarks.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/parallel.h"
#include "pixart/data/dataset.h"
#include "pixart/data/order.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/tar.h"
#include "range_server.h"
#include "rival.h"

namespace pixart::bench {
namespace fs = std::filesystem;

namespace {

constexpr int kSide = 512;

struct RemoteArguments {
  fs::path folder = ".";
  int64_t shards = 4, samples = 250;  // of each shard
  int rounds = 5, threads = 2;
};

// A JPEG of about 120 KB.
std::string made_jpeg(int64_t seed) {
  constexpr int kQuality = 90;
  Image image(kSide, kSide);
  uint32_t noise = uint32_t(seed) * 2654435761u + 1;
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    noise = noise * 1664525u + 1013904223u;
    image.rgb[i] = uint8_t((i / 3 % kSide + i / (3 * kSide)) / 5 + (noise >> 27));
  }
  return formats::encode_jpeg(image, kQuality);
}

void make_shards(const fs::path& folder, const RemoteArguments& arguments) {
  create_folders(folder);
  std::vector<std::string> images;
  for (int64_t i = 0; i < 16; ++i) images.push_back(made_jpeg(i));
  for (int64_t shard = 0; shard < arguments.shards; ++shard) {
    formats::TarWriter writer(folder / fmt::format("{:04}.tar", shard));
    for (int64_t i = 0; i < arguments.samples; ++i) {
      const std::string key = fmt::format("{:08}", shard * arguments.samples + i);
      writer.add(key + ".jpg", images[size_t(i) % images.size()]);
      writer.add(key + ".txt", "a pattern, number " + key);
    }
    writer.commit();
  }
}

// A source, and the images per second of each round.
struct Side {
  std::string name;
  double list_seconds = 0;
  std::unique_ptr<data::Dataset> dataset = nullptr;
  std::vector<double> speeds = {};
};

Side opened(const std::string& name, const std::string& path, double cache_gb, const fs::path& cache) {
  data::SourceConfig config;
  config.name = name, config.type = "webdataset", config.path = path;
  config.cache_gb = cache_gb, config.cache_folder = cache;
  Side side{.name = name};
  const double began = monotonic_seconds();
  side.dataset = data::open_dataset(config);
  side.list_seconds = monotonic_seconds() - began;
  return side;
}

// One epoch, in the order of training.
double images_per_second(const data::Dataset& dataset, int threads, int64_t epoch) {
  const data::SampleOrder order(7, {{.rows = dataset.size()}});
  const double began = monotonic_seconds();
  const auto read = [&](int64_t i) {
    const auto image = dataset.image(order.row(epoch * order.epoch_size() + i));
    PIXART_CHECK(image.width == kSide);
  };
  for_each_in_parallel(order.epoch_size(), read, threads);
  return double(order.epoch_size()) / (monotonic_seconds() - began);
}

nlohmann::ordered_json result_of(const Side& side, const Side& local) {
  std::vector<double> ratios;
  for (size_t i = 0; i < side.speeds.size(); ++i) ratios.push_back(side.speeds[i] / local.speeds[i]);
  return {{"list_seconds", side.list_seconds},
          {"images_per_second", spread(side.speeds)},
          {"ratio_to_local", spread(ratios)}};
}

void run_remote(const RemoteArguments& arguments) {
  const fs::path folder = arguments.folder / "bench-remote";
  fs::remove_all(folder);
  make_shards(folder / "shards", arguments);
  const RangeServer server(folder / "shards");
  const std::string names = fmt::format("{{0000..{:04}}}.tar", arguments.shards - 1);
  const std::string address = fmt::format("http://127.0.0.1:{}/{}", server.port(), names);
  std::vector<Side> sides;
  sides.push_back(opened("local", (folder / "shards" / names).string(), 0, {}));
  sides.push_back(opened("cached", address, 20, folder / "cache"));
  sides.push_back(opened("uncached", address + "?uncached=1", 0, {}));
  for (int round = -1; round < arguments.rounds; ++round)  // the first warms up
    for (auto& side : sides) {
      const double speed = images_per_second(*side.dataset, arguments.threads, round + 1);
      if (round >= 0) side.speeds.push_back(speed);
    }
  nlohmann::ordered_json json = {{"benchmark", "remote"},
                                 {"images", sides.front().dataset->size()},
                                 {"threads", arguments.threads},
                                 {"conditions", conditions()}};
  for (const auto& side : sides) json[side.name] = result_of(side, sides.front());
  std::printf("%s\n", json.dump(2).c_str());
  sides.clear();
  fs::remove_all(folder);
}

}  // namespace

void add_remote(CLI::App& app) {
  auto arguments = std::make_shared<RemoteArguments>();
  auto& command =
      *app.add_subcommand("remote", "images in shards of a server on this machine, against the disk");
  command.add_option("--dir", arguments->folder, "folder for the shards, which are deleted at the end")
      ->capture_default_str();
  command.add_option("--shards", arguments->shards, "number of shards")
      ->check(CLI::Range(1, 9999))
      ->capture_default_str();
  command.add_option("--samples", arguments->samples, "images of each shard")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command.add_option("--threads", arguments->threads, "threads that read")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--rounds", arguments->rounds, "measured rounds")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.callback([arguments] { run_remote(*arguments); });
}

}  // namespace pixart::bench
