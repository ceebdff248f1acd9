// pixart extract: killed, stopped and shared by processes, it makes the same files to the byte; train takes
// no features that were made of something else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "feature_damage.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kImages = 400, kKills = 20;
using Files = std::map<std::string, std::string>;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Extract : public ::testing::Test {
 protected:
  // A run whose autoencoder is trained, and its features made in one go.
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    fs::create_directories(path("pictures"));
    uint32_t noise = 1;
    for (int i = 0; i < kImages; ++i) {
      Image image(32 + i % 3, 36);
      for (auto& value : image.rgb) value = uint8_t((noise = noise * 1664525 + 1013904223) >> 24);
      const fs::path stem = path("pictures") / fmt::format("{:03}", i);
      formats::save_png(stem.string() + ".png", image);
      write_text(stem.string() + ".txt", fmt::format("image {} of noise", i));
    }
    write_text(path("pictures/007.png"), "");  // the listing sees it
    write_text(path("pictures/050.png"), "this is no image");
    fs::resize_file(path("pictures/399.png"), 1000);
    std::string text = replaced(tiny_run_yaml(), "run: run\n", "run: " + path("run").string() + "\n");
    text = replaced(text, "threads: 2", "threads: 1");
    text = replaced(text, "num_heads: 2, d_ff: 32", "num_heads: 2, d_ff: 1024");  // more than its two ends
    text = replaced(text, "{name: scenes, type: scenes, count: 48}",
                    "{name: scenes, type: image_folder, path: " + path("pictures").string() +
                        ", quarantine_budget: 0.01}");
    // About ten images and sixteen captions each.
    text = replaced(text, "sources:",
                    "features: {path: " + path("whole").string() + ", shard_megabytes: 0.01}\nsources:");
    const size_t begin = text.find("  - name: class"), end = text.find("  - name: text");
    text = text.erase(begin, end - begin);
    text = replaced(text, "    init: {how: reparameterize, from: class}\n", "");
    text = text.substr(0, text.find("  - name: larger"));
    text = replaced(text, "steps: 30", "steps: 2");
    write_text(path("run.yaml"), text);
    auto result = pixart({"train", "--stage", "autoencoder"});
    ASSERT_EQ(result.code, 0) << result.output;
    const auto start = std::chrono::steady_clock::now();
    result = pixart({"extract"});
    whole_seconds_ = seconds_since(start);
    ASSERT_EQ(result.code, 0) << result.output;
    ASSERT_THAT(result.output, HasSubstr("397 of 400 samples accepted"));
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static fs::path path(const std::string& name) { return *folder_ / name; }
  static std::vector<std::string> arguments(std::vector<std::string> command) {
    command.insert(command.begin() + 1, path("run.yaml").string());
    return command;
  }
  static ProcessResult pixart(const std::vector<std::string>& command) {
    return run_pixart(arguments(command), folder_->path());
  }
  static std::vector<std::string> extract_to(const std::string& features) {
    return {"extract", "--set", "features.path=" + path(features).string()};
  }
  static Files contents(const std::string& features) {
    Files files;
    for (const auto& name : files_below(path(features))) {
      std::ifstream file(path(features) / name, std::ios::binary);
      files[name] = {std::istreambuf_iterator<char>(file), {}};
    }
    return files;
  }
  static void expect_whole(const std::string& features) {
    const Files expected = contents("whole"), found = contents(features);
    std::vector<std::string> differing;
    for (const auto& [name, bytes] : expected)
      if (found.count(name) == 0 || found.at(name) != bytes) differing.push_back(name);
    for (const auto& [name, bytes] : found)
      if (expected.count(name) == 0) differing.push_back("left over: " + name);
    EXPECT_THAT(differing, ElementsAre()) << features;
  }
  // A run that has the autoencoder (and text encoder) and nothing else, with a copy of the features.
  static void fresh_run(const std::string& name) {
    fs::create_directories(path(name));
    fs::copy(path("run/autoencoder"), path(name + "/autoencoder"), fs::copy_options::recursive);
    fs::copy(path("run/text_encoder"), path(name + "/text_encoder"), fs::copy_options::recursive);
    fs::copy(path("whole"), path(name + "-features"), fs::copy_options::recursive);
  }
  static ProcessResult train(const std::string& name, const std::vector<std::string>& settings) {
    std::vector<std::string> command = {"train",
                                        "--stage",
                                        "text",
                                        "--set",
                                        "run=" + path(name).string(),
                                        "--set",
                                        "features.path=" + path(name + "-features").string()};
    for (const auto& setting : settings) command.insert(command.end(), {"--set", setting});
    return pixart(command);
  }
  static bool has_shard(const std::string& features) {
    return fs::exists(path(features) / "scenes-latents-32/shard-00000.safetensors");
  }
  static void wait_for(const std::function<bool()>& condition) {
    while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }

  static std::unique_ptr<TemporaryFolder> folder_;
  static double whole_seconds_;
};
std::unique_ptr<TemporaryFolder> Extract::folder_;
double Extract::whole_seconds_ = 1;

TEST_F(Extract, MakesShardsIndexAndManifestOnly) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : contents("whole"))
    if (name.find("/shard-") == std::string::npos) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("scenes-captions/index.safetensors", "scenes-captions/keys.safetensors",
                                 "scenes-captions/manifest.json", "scenes-latents-32/index.safetensors",
                                 "scenes-latents-32/keys.safetensors", "scenes-latents-32/manifest.json",
                                 "scenes-latents-32/quarantine.jsonl"));
  const auto whole = contents("whole");
  EXPECT_GT(whole.size(), 50);
  EXPECT_THAT(whole.at("scenes-latents-32/quarantine.jsonl"),
              AllOf(HasSubstr(R"("key":"007.png","offset":0,"reason":"empty_file")"),
                    HasSubstr(R"("key":"050.png","offset":0,"reason":"not_a_picture")"),
                    HasSubstr(R"("key":"399.png","offset":0,"reason":"damaged_picture")")));
}

TEST_F(Extract, TwentyKillsGiveTheUninterruptedFiles) {
  const char* seed_text = std::getenv("PIXART_KILL_SEED");
  const unsigned seed = seed_text != nullptr ? unsigned(std::atoi(seed_text)) : std::random_device{}();
  SCOPED_TRACE("repeat with PIXART_KILL_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> life(0.1 * whole_seconds_, 0.7 * whole_seconds_);
  fs::remove_all(path("run/text_encoder"));  // is made again, and killed too
  int kills = 0, complete = 0;
  for (int runs = 0; kills < kKills || complete == 0; ++runs) {
    ASSERT_LT(runs, 10 * kKills);
    Process process(arguments(extract_to("killed")), folder_->path());
    if (kills < kKills) {
      std::this_thread::sleep_for(std::chrono::duration<double>(life(random)));
      process.kill(SIGKILL);
    }
    const auto result = process.wait();
    if (result.code == 128 + SIGKILL) {
      ++kills;
      continue;
    }
    ASSERT_EQ(result.code, 0) << result.output;
    expect_whole("killed");
    ++complete;
    fs::remove_all(path("killed"));  // finished before all kills: from the start
  }
}

TEST_F(Extract, ProcessesShareTheWorkAndOneIsKilled) {
  for (const int count : {2, 4}) {
    const std::string name = "shared" + std::to_string(count);
    std::vector<Process> processes;
    for (int i = 0; i < count; ++i) {
      const fs::path own = path(fmt::format("process{}-{}", count, i));  // for its output
      fs::create_directories(own);
      processes.emplace_back(arguments(extract_to(name)), own);
    }
    wait_for([&] { return has_shard(name); });
    processes[0].kill(SIGKILL);
    for (int i = 0; i < count; ++i) {
      const auto result = processes[size_t(i)].wait();
      EXPECT_EQ(result.code, i == 0 ? 128 + SIGKILL : 0) << result.output;
    }
    expect_whole(name);
  }
}

// Whether the process holds a shard of the features.
bool holds_a_shard(const fs::path& features, pid_t process) {
  std::error_code error;
  for (fs::recursive_directory_iterator at(features, error), end; !error && at != end; at.increment(error)) {
    if (!at->path().filename().string().starts_with(".lock-")) continue;
    std::ifstream file(at->path());
    int64_t count = 0, holder = 0;
    if (file >> count >> holder && holder == process) return true;
  }
  return false;
}

// The others make its shard, too. Later it notices that everything is done.
TEST_F(Extract, AStoppedProcessHoldsNobodyUp) {
  std::vector<Process> processes;
  for (int i = 0; i < 4; ++i) {
    fs::create_directories(path("stopped" + std::to_string(i)));
    processes.emplace_back(arguments(extract_to("held")), path("stopped" + std::to_string(i)));
  }
  for (bool holds = false; !holds; holds = holds_a_shard(path("held"), processes[0].id())) {
    processes[0].kill(SIGCONT);
    wait_for([&] { return processes[0].has_ended() || holds_a_shard(path("held"), processes[0].id()); });
    ASSERT_FALSE(processes[0].has_ended());
    processes[0].kill(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (size_t i = 1; i < 4; ++i) {
    const auto result = processes[i].wait();
    EXPECT_EQ(result.code, 0) << result.output;
  }
  expect_whole("held");
  processes[0].kill(SIGCONT);
  const auto result = processes[0].wait();
  EXPECT_EQ(result.code, 0) << result.output;
  expect_whole("held");
}

TEST_F(Extract, AStopRequestKeepsFinishedShards) {
  Process process(arguments(extract_to("stopped")), folder_->path());
  wait_for([] { return has_shard("stopped"); });
  process.kill(SIGTERM);
  auto result = process.wait();
  EXPECT_EQ(result.code, 75) << result.output;
  EXPECT_THAT(result.output, HasSubstr("The same command continues"));
  EXPECT_FALSE(fs::exists(path("stopped/scenes-latents-32/manifest.json")));
  const auto kept = fs::last_write_time(path("stopped/scenes-latents-32/shard-00000.safetensors"));
  result = pixart(extract_to("stopped"));
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(fs::last_write_time(path("stopped/scenes-latents-32/shard-00000.safetensors")), kept);
  expect_whole("stopped");
}

TEST_F(Extract, OnlyWhatIsAskedFor) {
  auto command = extract_to("some");
  command.insert(command.end(), {"--what", "captions"});
  ASSERT_EQ(pixart(command).code, 0);
  EXPECT_FALSE(fs::exists(path("some/scenes-latents-32")));
  command.back() = "latents";
  ASSERT_EQ(pixart(command).code, 0);
  expect_whole("some");
  command.back() = "latent";
  const auto result = pixart(command);
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("--what"));
}

TEST_F(Extract, TrainTakesFeaturesThatAreThere) {
  fresh_run("good");
  const auto result = train("good", {});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("397 of 400 samples accepted"), Not(HasSubstr("encode "))));
  EXPECT_EQ(contents("good-features"), contents("whole"));
}

TEST_F(Extract, FeaturesOfAnotherKindAreRefusedByName) {
  fresh_run("other");
  fs::copy(path("whole/scenes-latents-32"), path("other-features/scenes-latents-64"));
  const Files before = contents("other-features");
  const auto expect_refused = [&](const std::vector<std::string>& settings,
                                  const std::vector<std::string>& fields) {
    fs::remove(path("other/run.yaml"));  // which would refuse the change first
    const auto result = train("other", settings);
    EXPECT_EQ(result.code, 78) << result.output;
    EXPECT_THAT(result.output, HasSubstr("do not fit this run"));
    for (const auto& field : fields)
      EXPECT_THAT(result.output, HasSubstr(field + ": the features were made with '"));
    EXPECT_EQ(contents("other-features"), before);
  };
  expect_refused({"stages.text.resolution=64"}, {"resolution"});
  expect_refused({"features.latent_dtype=float32"}, {"dtype"});
  expect_refused({"features.caption_dtype=float8_e4m3fn"}, {"dtype"});
  expect_refused({"text_encoder.max_tokens=12"}, {"max_tokens"});
  expect_refused({"sources.scenes.max_samples=100"}, {"pictures"});
  fs::remove(path("other/run.yaml"));
  EXPECT_THAT(train("other", {"sources.scenes.damaged_images=read"}).output,
              HasSubstr("damaged_images: the features were made with none, this run has 'read'"));
  // What normalises the latents is in the autoencoder's config.json.
  const fs::path normalisation = path("other/autoencoder/config.json");
  const std::string written = read_file(normalisation);
  for (const auto& [from, to, shown] :
       {std::array{R"("shift_factor": null)", R"("shift_factor": 0.125)", "shift factor 0.125"},
        std::array{R"("scaling_factor": 1.0)", R"("scaling_factor": 0.5)", "scaling factor 0.5"}}) {
    std::string changed = written;
    ASSERT_NE(changed.find(from), std::string::npos) << changed;
    write_text(normalisation, changed.replace(changed.find(from), std::string(from).size(), to));
    EXPECT_THAT(run_pixart({"inspect", "other/autoencoder"}, folder_->path()).output, HasSubstr(shown));
    expect_refused({}, {"autoencoder"});
    write_text(normalisation, written);
  }
  fs::remove_all(path("other/text_encoder"));
  expect_refused({"text_encoder.vocabulary=40"}, {"text_encoder", "tokenizer"});
  fs::remove_all(path("other"));
  const auto trained = pixart(
      {"train", "--stage", "autoencoder", "--set", "seed=4", "--set", "run=" + path("other").string()});
  ASSERT_EQ(trained.code, 0) << trained.output;
  expect_refused({"seed=4"}, {"autoencoder"});
}

// Between the first and the last 64 KiB.
void flip_the_middle(const fs::path& file) {
  const auto size = int64_t(fs::file_size(file));
  ASSERT_GT(size, 3 * (64 << 10));
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(size / 2);
  const auto byte = char(stream.get());
  stream.seekp(size / 2);
  stream.put(char(byte ^ 1));
}

TEST_F(Extract, AnEncoderThatChangedInTheMiddleIsNoticed) {
  fresh_run("middle");
  ASSERT_EQ(train("middle", {}).code, 0);
  const std::vector<std::string> draw = {
      "sample", "middle", "image 1 of noise", "--steps", "2", "--stage", "text",
      "--out",  "drawn",  "--overwrite"};
  const auto sample = [&] { return run_pixart(draw, folder_->path()); };
  ASSERT_EQ(sample().code, 0);
  EXPECT_THAT(sample().output, HasSubstr("the text encoder was not needed"));
  const auto expect_refused = [&](const std::string& field) {
    fs::remove_all(path("middle/checkpoints/text"));
    auto extract = extract_to("middle-features");
    extract.insert(extract.end(), {"--set", "run=" + path("middle").string()});
    for (const auto& result : {train("middle", {}), pixart(extract)}) {
      EXPECT_EQ(result.code, 78) << result.output;
      EXPECT_THAT(result.output, AllOf(HasSubstr("do not fit this run"),
                                       HasSubstr(field + ": the features were made with 'sha256:")));
    }
    EXPECT_EQ(contents("middle-features"), contents("whole"));
  };
  flip_the_middle(path("middle/text_encoder/model.safetensors"));
  const auto drawn = sample();
  EXPECT_EQ(drawn.code, 0) << drawn.output;
  EXPECT_THAT(drawn.output, Not(HasSubstr("the text encoder was not needed")));
  expect_refused("text_encoder");
  flip_the_middle(path("middle/text_encoder/model.safetensors"));  // as it was
  flip_the_middle(path("middle/autoencoder/diffusion_pytorch_model.safetensors"));
  expect_refused("autoencoder");
}

TEST_F(Extract, DamagedFeaturesAreRefused) {
  fresh_run("damaged");
  fs::resize_file(path("damaged-features/scenes-latents-32/shard-00003.safetensors"), 100);
  fs::remove(path("damaged-features/scenes-latents-32/shard-00004.safetensors"));
  auto result = train("damaged", {});
  EXPECT_EQ(result.code, 74) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("shard-00003.safetensors: 100 bytes"),
                                   HasSubstr("shard-00004.safetensors: No such file"), HasSubstr("remove")));
  write_text(path("damaged-features/scenes-latents-32/manifest.json"), "{");
  result = train("damaged", {});
  EXPECT_EQ(result.code, 74) << result.output;
  EXPECT_THAT(result.output, HasSubstr("manifest.json is not a manifest of features"));
}

constexpr const char* kWholeEpoch = "stages.text.steps=50";  // of 400 samples, eight a step

TEST_F(Extract, ADamagedRecordCostsItsSampleAndIsNeverTrainedOn) {
  const auto weights_of = [](const std::string& name) {
    std::ifstream file(path(name) / "checkpoints/text/step-00000050/model.safetensors", std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  fresh_run("undamaged");
  ASSERT_EQ(train("undamaged", {kWholeEpoch}).code, 0);
  std::vector<std::string> weights;
  for (const std::string name : {"flipped", "flipped-elsewhere"}) {
    fresh_run(name);
    const auto shard = path(name + "-features/scenes-latents-32/shard-00003.safetensors");
    const auto [first, last] = bytes_of(shard, "moments");
    flip_bit(shard, name == "flipped" ? first + 5 : first + 6, 6);  // of the same record
    const auto result = train(name, {kWholeEpoch});
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output, AllOf(HasSubstr("is left out: "),
                                     HasSubstr("shard-00003.safetensors is damaged"), HasSubstr("--mend")));
    std::ifstream quarantine(path(name) / "quarantine/scenes.jsonl");
    EXPECT_EQ(std::count(std::istreambuf_iterator<char>(quarantine), {}, '\n'), 4);
    weights.push_back(weights_of(name));
  }
  EXPECT_FALSE(weights[0].empty());
  EXPECT_TRUE(weights[0] == weights[1]) << "what the damage is does not matter";
  EXPECT_TRUE(weights[0] != weights_of("undamaged")) << "another sample was taken";
}

TEST_F(Extract, DamageIsNamedAndMended) {
  fresh_run("mended");
  const auto on_copy = [](std::vector<std::string> options) {
    auto command = extract_to("mended-features");
    command.insert(command.end(), options.begin(), options.end());
    return pixart(command);
  };
  auto result = on_copy({"--verify"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("2 feature sets are unchanged since they were written"));
  const std::string latents = "mended-features/scenes-latents-32/",
                    captions = "mended-features/scenes-captions/";
  for (const char* shard : {"shard-00001.safetensors", "shard-00002.safetensors"}) {
    const auto file = path(latents + shard);
    const auto [first, last] = bytes_of(file, "moments");
    for (size_t byte = first; byte < last; byte += 64) flip_bit(file, byte);
  }
  flip_bit(path(captions + "shard-00000.safetensors"), 20);
  result = train("mended", {kWholeEpoch});
  EXPECT_EQ(result.code, 74) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("quarantine_budget = 0.01"), HasSubstr("extract RUN.yaml --mend")));
  flip_bit(path(captions + "index.safetensors"), 200);
  result = train("mended", {kWholeEpoch});
  EXPECT_EQ(result.code, 74) << result.output;
  EXPECT_THAT(result.output, HasSubstr("scenes-captions/index.safetensors is damaged"));
  const Files before = contents("mended-features");
  result = on_copy({"--verify"});
  EXPECT_EQ(result.code, 74) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr(latents + "shard-00001.safetensors: "),
                                   HasSubstr(latents + "shard-00002.safetensors: "),
                                   HasSubstr(captions + "shard-00000.safetensors: "),
                                   HasSubstr(captions + "index.safetensors: ")));
  EXPECT_EQ(contents("mended-features"), before);
  const auto kept = fs::last_write_time(path(latents + "shard-00000.safetensors"));
  result = on_copy({"--mend"});
  EXPECT_EQ(result.code, 0) << result.output;
  expect_whole("mended-features");
  EXPECT_EQ(fs::last_write_time(path(latents + "shard-00000.safetensors")), kept);
  EXPECT_EQ(on_copy({"--verify"}).code, 0);
  EXPECT_EQ(on_copy({"--verify", "--mend"}).code, 78);
}

TEST_F(Extract, MoreBadSamplesThanTheBudgetStopIt) {
  auto command = extract_to("budget");
  command.insert(command.end(), {"--set", "sources.scenes.quarantine_budget=0.005"});
  const auto result = pixart(command);
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("3 of 400 samples cannot be used"), HasSubstr("quarantine_budget = 0.005"),
                    HasSubstr("007.png (empty_file)"), HasSubstr("050.png (not_a_picture)"),
                    HasSubstr("399.png (damaged_picture)")));
  fresh_run("strict");
  EXPECT_EQ(train("strict", {"sources.scenes.quarantine_budget=0.005"}).code, 78);
}

TEST_F(Extract, WithoutAnAutoencoderItSaysWhatToDo) {
  const auto result = pixart({"extract", "--set", "run=" + path("empty").string()});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("has no autoencoder"), HasSubstr("autoencoder.path")));
}

}  // namespace
}  // namespace pixart::testing
