// pixart extract --update: a source that has grown, shrunk or changed gives the files of a set that is made from
// nothing, and only new samples are encoded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "pixart/base/file.h"
#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kImages = 40;
using Files = std::map<std::string, std::string>;

class ExtractUpdate : public ::testing::Test {
 protected:
  // A run whose autoencoder and text encoder exist.
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    fs::create_directories(path("pictures"));
    for (int i = 0; i < kImages; ++i) sample(fmt::format("{:03}", i), i);
    std::string text = replaced(tiny_run_yaml(), "run: run\n", "run: " + path("run").string() + "\n");
    text = replaced(text, "threads: 2", "threads: 1");
    text = replaced(text, "{name: scenes, type: scenes, count: 48}",
                    "{name: scenes, type: image_folder, path: " + path("pictures").string() +
                        ", quarantine_budget: 0.1}");
    text = replaced(text, "sources:", "features: {shard_megabytes: 0.01}\nsources:");
    const size_t begin = text.find("  - name: class"), end = text.find("  - name: text");
    text = text.erase(begin, end - begin);
    text = replaced(text, "    init: {how: reparameterize, from: class}\n", "");
    write_text(path("run.yaml"), text.substr(0, text.find("  - name: larger")));
    const auto trained = run_pixart({"train", "run.yaml", "--stage", "autoencoder"}, folder_->path());
    ASSERT_EQ(trained.code, 0) << trained.output;
    ASSERT_EQ(extract("first").code, 0);
    fs::copy(path("pictures"), path("original"));
  }
  static void TearDownTestSuite() { folder_.reset(); }
  void SetUp() override {
    fs::remove_all(path("pictures"));
    fs::copy(path("original"), path("pictures"));
  }

  static fs::path path(const std::string& name) { return *folder_ / name; }
  // An image of noise and its caption; some captions are longer than max_tokens.
  static void sample(const std::string& name, int seed, int width = 36) {
    auto noise = uint32_t(seed) * 7919 + 1;
    Image image(32 + seed % 3, width);
    for (auto& value : image.rgb) value = uint8_t((noise = noise * 1664525 + 1013904223) >> 24);
    formats::save_png(path("pictures/" + name + ".png"), image);
    const char* rest = seed % 4 == 0 ? " and much more noise than one line of a book can tell" : "";
    write_text(path("pictures/" + name + ".txt"), fmt::format("image {} of noise{}", seed, rest));
  }
  static std::vector<std::string> command(const std::string& features, const std::vector<std::string>& more) {
    std::vector<std::string> result = {"extract", path("run.yaml").string(), "--set",
                                       "features.path=" + path(features).string()};
    result.insert(result.end(), more.begin(), more.end());
    return result;
  }
  static ProcessResult extract(const std::string& features, const std::vector<std::string>& more = {}) {
    return run_pixart(command(features, more), folder_->path());
  }
  // The files of the sets whose folders end so; "": as they are read.
  static Files contents(const std::string& features, const std::string& ending = "") {
    Files files;
    for (const auto& name : files_below(path(features))) {
      const std::string set = fs::path(name).parent_path(), file = fs::path(name).filename();
      const bool is_other = fs::path(set).extension() != ending;
      if (!is_other) files[fs::path(set).stem().string() + "/" + file] = read_file(path(features) / name);
    }
    return files;
  }
  // Names only: the bytes are no help in a message.
  static void expect_same(const Files& found, const Files& expected) {
    EXPECT_EQ(found.size(), expected.size());
    for (const auto& [name, bytes] : expected)
      EXPECT_TRUE(found.count(name) > 0 && found.at(name) == bytes) << name;
  }

  static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> ExtractUpdate::folder_;

TEST_F(ExtractUpdate, EveryChangeGivesTheFilesOfAFreshSet) {
  struct Change {
    std::string name;
    std::function<void()> apply;
    std::vector<std::string> said;
  };
  const auto drop = [](const std::string& stem) {
    for (const char* ending : {".png", ".txt"}) fs::remove(path("pictures/" + stem + ending));
  };
  const std::string latents = "took over the latents of ", captions = "took over the features of ";
  // Images of a shard that has another number of images now are encoded again: shards of ten make small batches.
  const std::vector<Change> changes = {
      {"appended",
       [] {
         for (int i = 40; i < 50; ++i) sample(fmt::format("{:03}", i), i);
       },
       {latents + "40 images", captions + "40 captions"}},
      {"in the middle",
       [] { sample("005a", 100), sample("017b", 101), sample("030c", 102); },
       {latents + "47 images", captions + "50 captions"}},
      {"removed",
       [&] { drop("003"), drop("020"), drop("049"); },
       {latents + "48 images", captions + "50 captions"}},
      {"another image", [] { sample("010", 10, 41); }, {latents + "49 images"}},
      {"other captions",
       [] {
         write_text(path("pictures/012.txt"), "something else");
         write_text(path("pictures/013.txt"), "image 14 of noise");
       },
       {captions + "48 captions"}},
      {"a bad image", [] { fs::resize_file(path("pictures/025.png"), 500); }, {latents + "40 images"}},
  };
  fs::copy(path("first"), path("grown"), fs::copy_options::recursive);
  for (const auto& change : changes) {
    SCOPED_TRACE(change.name);
    change.apply();
    const Files before = contents("grown");
    auto result = extract("grown");
    EXPECT_EQ(result.code, 78) << result.output;
    EXPECT_THAT(result.output,
                AllOf(HasSubstr("do not fit this run"), HasSubstr("extract RUN.yaml --update")));
    expect_same(contents("grown"), before);

    result = extract("grown", {"--update"});
    EXPECT_EQ(result.code, 0) << result.output;
    for (const auto& words : change.said) EXPECT_THAT(result.output, HasSubstr(words));
    fs::remove_all(path("fresh"));
    EXPECT_EQ(extract("fresh").code, 0);
    expect_same(contents("grown"), contents("fresh"));
    for (const auto& [name, bytes] : contents("grown", ".former"))
      EXPECT_TRUE(change.said.size() < 2 || before.at(name) == bytes) << name;
    EXPECT_THAT(contents("grown", ".update"), ::testing::IsEmpty());
  }
  const auto again = extract("grown", {"--update"});
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, AllOf(Not(HasSubstr("encode ")), Not(HasSubstr("took over"))));
}

// Of mirrored images and fp8, by three processes, of which one is killed.
TEST_F(ExtractUpdate, SeveralProcessesShareItAndAKillCostsNothing) {
  const std::vector<std::string> types = {"--set", "features.caption_dtype=float8_e4m3fn", "--set",
                                          "stages.text.horizontal_flip=true"};
  ASSERT_EQ(extract("shared", types).code, 0);
  for (int i = 40; i < 120; ++i) sample(fmt::format("{:03}x", i / 3), i);
  auto update = types;
  update.emplace_back("--update");
  std::vector<Process> processes;
  for (int i = 0; i < 3; ++i) {
    fs::create_directories(path("process" + std::to_string(i)));
    processes.emplace_back(command("shared", update), path("process" + std::to_string(i)));
  }
  while (!fs::exists(path("shared/scenes-latents-32-mirrored.update/shard-00000.safetensors")) &&
         !processes[0].has_ended())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  processes[0].kill(SIGKILL);
  for (size_t i = 1; i < 3; ++i) {
    const auto result = processes[i].wait();
    EXPECT_EQ(result.code, 0) << result.output;
  }
  processes[0].wait();
  ASSERT_EQ(extract("shared-fresh", types).code, 0);
  expect_same(contents("shared"), contents("shared-fresh"));
  EXPECT_FALSE(fs::exists(path("shared/scenes-captions.update")));
}

// The folder does not change; a start looks at the sizes of some images, here of all.
TEST_F(ExtractUpdate, AnImageThatWasReplacedInPlaceIsNoticedInSpiteOfTheIndex) {
  const auto indexed = [](std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--set", "features.index_rows=1"});
    return extract("indexed", more);
  };
  const auto replace = [](const std::string& name, int width) {
    formats::save_png(path("other.png"), Image(32, width));
    write_text(path("pictures/" + name), read_file(path("other.png")));
  };
  ASSERT_EQ(indexed().code, 0);
  replace("007.png", 60);
  const auto noticed = indexed();
  EXPECT_EQ(noticed.code, 78) << noticed.output;
  const auto updated = indexed({"--update"});
  EXPECT_EQ(updated.code, 0) << updated.output;
  EXPECT_THAT(updated.output, HasSubstr("its source has changed"));
  ASSERT_EQ(extract("replaced").code, 0);
  auto found = contents("indexed");
  std::erase_if(found, [](const auto& file) { return file.first.starts_with("index/"); });
  expect_same(found, contents("replaced"));
  replace("008.png", 61);
  const auto verified = indexed({"--verify"});
  EXPECT_EQ(verified.code, 78) << verified.output;
  EXPECT_THAT(verified.output, AllOf(HasSubstr("1 images are not those"), HasSubstr("008.png")));
}

TEST_F(ExtractUpdate, OtherDifferencesAreRefusedByName) {
  fs::copy(path("first"), path("other"), fs::copy_options::recursive);
  sample("999", 999);
  const Files before = contents("other");
  const auto result = extract("other", {"--update", "--set", "features.latent_dtype=float32"});
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("dtype: the features were made with 'float16'"), Not(HasSubstr("pictures: "))));
  expect_same(contents("other"), before);
  EXPECT_EQ(extract("other", {"--update", "--mend"}).code, 78);
}

// It has no keys of its samples.
TEST_F(ExtractUpdate, ASetOfAnEarlierVersionIsMadeFromNothingOrGetsItsKeys) {
  for (const bool is_mended : {false, true}) {
    const std::string name = is_mended ? "with-keys" : "without-keys";
    fs::copy(path("first"), path(name), fs::copy_options::recursive);
    for (const char* set : {"/scenes-latents-32", "/scenes-captions"}) {
      fs::remove(path(name + set) / "keys.safetensors");
      std::string manifest = read_file(path(name + set) / "manifest.json");
      manifest.resize(manifest.rfind(",\n \"keys\""));
      write_text(path(name + set) / "manifest.json", manifest + "\n}\n");
    }
    SetUp();
    if (is_mended) {
      ASSERT_EQ(extract(name, {"--mend"}).code, 0);
      expect_same(contents(name), contents("first"));
    }
    sample("050", 50);
    const auto result = extract(name, {"--update"});
    EXPECT_EQ(result.code, 0) << result.output;
    const std::string count = is_mended ? "40" : "0";
    EXPECT_THAT(result.output, AllOf(HasSubstr("took over the latents of " + count + " images"),
                                     HasSubstr("took over the features of " + count + " captions")));
    fs::remove_all(path("fresh"));
    ASSERT_EQ(extract("fresh").code, 0);
    expect_same(contents(name), contents("fresh"));
  }
}

}  // namespace
}  // namespace pixart::testing
