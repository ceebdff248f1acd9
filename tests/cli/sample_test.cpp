// pixart sample and the folder that it draws into: nothing that is done is lost or replaced, whatever ends the
// command.
#include <gmock/gmock.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <thread>

#include "finished_run.h"
#include "pixart/formats/image_file.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

const std::string kCaption = "a red circle on a white background";

class Sampling : public FinishedRun {
 protected:
  // Two prompts, eight images, drawn three at a time.
  static std::vector<std::string> eight_images(const std::string& out,
                                               const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {
        "sample", "run",     kCaption, "a blue cross", "--stage", "text",   "--count", "4", "--batch",
        "3",      "--steps", "2",      "--seed",       "5",       "--html", "--out",   out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  static std::map<std::string, std::string> bytes_below(const std::string& folder) {
    std::map<std::string, std::string> bytes;
    for (const auto& name : files_below(path(folder))) bytes[name] = text_of(path(folder) / name);
    return bytes;
  }
  // What nothing interrupts.
  static const std::map<std::string, std::string>& whole() {
    static const auto bytes = [] {
      const auto result = pixart(eight_images("whole"));
      EXPECT_EQ(result.code, 0) << result.output;
      return bytes_below("whole");
    }();
    return bytes;
  }
  // The same while operation `at` on the files whose names contain `match` meets `mode`.
  static ProcessResult draw_under(const std::string& mode, const std::string& match, int at,
                                  const std::string& out, const std::vector<std::string>& more = {}) {
    const Environment environment({{"LD_PRELOAD", PIXART_IO_SHIM},
                                   {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                   {"IO_SHIM_FOLDER", fs::canonical(folder_->path()) / out},
                                   {"IO_SHIM_MATCH", match},
                                   {"IO_SHIM_MODE", mode},
                                   {"IO_SHIM_AT", std::to_string(at)},
                                   {"IO_SHIM_ERROR", std::to_string(ENOSPC)}});
    return pixart(eight_images(out, more));
  }
  static std::map<std::string, fs::file_time_type> times_of_images(const std::string& folder) {
    std::map<std::string, fs::file_time_type> times;
    for (const auto& name : files_below(path(folder)))
      if (name.starts_with("0")) times[name] = fs::last_write_time(path(folder) / name);
    return times;
  }
};

TEST_F(Sampling, DrawsIntoANewFolderEachTime) {
  fs::remove_all(path("samples"));
  for (const std::string name : {"samples/0001", "samples/0002"}) {
    const auto result = pixart({"sample", "run", kCaption, "--stage", "text", "--steps", "1"});
    ASSERT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output, HasSubstr("in " + name));
    EXPECT_EQ(files_below(path(name)), (std::vector<std::string>{"0000.png", "grid.png", "sample.json"}));
  }
}

TEST_F(Sampling, AFolderWithImagesIsRefused) {
  const auto draw = [](const std::string& prompt, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"sample",  "run", prompt,  "--stage", "text",
                                          "--steps", "1",   "--out", "held"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return pixart(arguments);
  };
  ASSERT_EQ(draw(kCaption, {"--count", "2"}).code, 0);
  write_text(path("held/notes.txt"), "mine");
  const auto before = bytes_below("held");
  const auto refused = draw("a blue cross", {});
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, AllOf(HasSubstr("held holds 0000.png, grid.png, sample.json, 0001.png"),
                                    HasSubstr("--resume"), HasSubstr("--overwrite")));
  EXPECT_EQ(bytes_below("held"), before);
  const auto replaced = draw("a blue cross", {"--overwrite"});
  EXPECT_EQ(replaced.code, 0) << replaced.output;
  EXPECT_THAT(replaced.output, HasSubstr("held keeps images of other names: 0001.png"));
  auto after = bytes_below("held");
  EXPECT_NE(after["0000.png"], before.at("0000.png"));
  for (const char* kept : {"0001.png", "notes.txt"}) EXPECT_EQ(after[kept], before.at(kept)) << kept;
  write_text(path("held/0000.png"), "a photo of somebody");
  const auto of_others = draw("a blue cross", {"--overwrite"});
  EXPECT_EQ(of_others.code, 78) << of_others.output;
  EXPECT_THAT(of_others.output, HasSubstr("did not write, and they are not replaced: 0000.png"));
  EXPECT_EQ(text_of(path("held/0000.png")), "a photo of somebody");
  for (const char* option : {"--resume", "--overwrite"}) {
    const auto alone = pixart({"sample", "run", kCaption, option});
    EXPECT_EQ(alone.code, 78) << alone.output;
    EXPECT_THAT(alone.output, AllOf(HasSubstr(option), HasSubstr("--out")));
  }
}

TEST_F(Sampling, KilledAndContinuedItGivesTheSameFiles) {
  struct Kill {
    const char* file;
    int operation;  // 1: open, 2: write, 3: fsync, 4: rename
    size_t images;  // that are there then
  };
  ASSERT_EQ(whole().size(), 11u);
  int number = 0;
  for (const auto& [file, operation, images] :
       {Kill{".tmp-sample.json", 2, 0}, Kill{".tmp-0000.png", 4, 0}, Kill{".tmp-0004.png", 4, 4},
        Kill{".tmp-0006.png", 1, 6}, Kill{".tmp-grid.png", 2, 8}, Kill{".tmp-index.html", 4, 8}}) {
    const std::string out = "killed-" + std::to_string(number++);
    const auto killed = draw_under("kill", file, operation, out);
    ASSERT_EQ(killed.code, 128 + SIGKILL) << killed.output;
    const auto kept = times_of_images(out);
    EXPECT_EQ(kept.size(), images) << file;
    const auto resumed = pixart(eight_images(out, {"--resume"}));
    ASSERT_EQ(resumed.code, 0) << resumed.output;
    EXPECT_TRUE(bytes_below(out) == whole()) << file;
    const auto now = times_of_images(out);
    for (const auto& [name, time] : kept) EXPECT_EQ(now.at(name), time) << name << " was written again";
  }
}

TEST_F(Sampling, MissingImagesAreDrawnAgain) {
  const auto& expected = whole();
  ASSERT_EQ(pixart(eight_images("gaps")).code, 0);
  for (const char* name : {"0001.png", "0005.png", "0006.png", "grid.png"}) fs::remove(path("gaps") / name);
  const auto resumed = pixart(eight_images("gaps", {"--resume"}));
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_TRUE(bytes_below("gaps") == expected);
  const auto again = pixart(eight_images("gaps", {"--resume"}));
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_TRUE(bytes_below("gaps") == expected);
}

TEST_F(Sampling, AFullDiskKeepsWhatIsDone) {
  const auto full = draw_under("fail_from", ".tmp-0004.png", 2, "full");
  EXPECT_EQ(full.code, 74) << full.output;
  EXPECT_THAT(full.output, AllOf(HasSubstr("No space left on device"), HasSubstr("4 of 8 images are in full"),
                                 HasSubstr("with --out full --resume draws the others")));
  EXPECT_EQ(times_of_images("full").size(), 4u);
  const auto resumed = pixart(eight_images("full", {"--resume"}));
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_TRUE(bytes_below("full") == whole());
}

TEST_F(Sampling, OtherSettingsAreNotMixed) {
  const auto whole_before = whole();
  const auto refused = [](const std::vector<std::string>& arguments) {
    const auto result = pixart(arguments);
    EXPECT_EQ(result.code, 78) << result.output;
    return result.output;
  };
  EXPECT_THAT(refused(eight_images("whole", {"--resume", "--guidance", "3", "--sampler", "ddim"})),
              AllOf(HasSubstr("whole holds images of other settings"), HasSubstr("guidance was '4.5', is '3"),
                    HasSubstr("sampler was 'dpm_solver_pp', is 'ddim'"), Not(HasSubstr("seed was"))));
  EXPECT_THAT(refused(eight_images("whole", {"--resume", "--live-weights"})),
              AllOf(HasSubstr("model_sha256 was '"), HasSubstr("weights was 'average', is 'live'")));
  EXPECT_THAT(refused(eight_images("whole", {"--resume", "a third prompt"})),
              AllOf(HasSubstr("prompts_sha256 was"), HasSubstr("prompts was '2', is '3'")));
  EXPECT_EQ(bytes_below("whole"), whole_before);
}

// It is stopped twice; a second process is refused while it draws.
TEST_F(Sampling, EndsOnRequestAndKeepsItsImages) {
  const std::vector<std::string> endless = {"sample",  "run",    kCaption,  "--stage", "text",
                                            "--count", "100000", "--batch", "2",       "--steps",
                                            "20",      "--out",  "endless", "--resume"};
  const auto num_images = [&] { return fs::exists(path("endless")) ? times_of_images("endless").size() : 0; };
  for (const int signal : {SIGTERM, SIGINT}) {
    const size_t before = num_images();
    Process process(endless, folder_->path());
    while (num_images() == before) {  // then it owns the folder
      ASSERT_FALSE(process.has_ended()) << process.wait().output;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    {
      const TemporaryFolder other;  // for the output of the second process
      std::vector<std::string> same = endless;
      same[1] = path("run");
      for (auto& argument : same)
        if (argument == "endless") argument = path("endless");
      const auto second = run_pixart(same, other.path());
      EXPECT_EQ(second.code, 73) << second.output;
    }
    process.kill(signal);
    const auto result = process.wait();
    EXPECT_EQ(result.code, 75) << result.output;
    const auto images = times_of_images("endless");
    EXPECT_THAT(result.output,
                AllOf(HasSubstr("stopped on request"),
                      HasSubstr(std::to_string(images.size()) + " of 100000 images are in endless"),
                      HasSubstr("--out endless --resume")));
    for (const auto& [name, time] : images)
      EXPECT_EQ(formats::read_png_text(path("endless") / name).at("prompt"), kCaption);
  }
}

TEST_F(Sampling, LargeImagesAreDecodedInTilesAndSayIt) {
  const auto draw = [](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"sample",  "run", kCaption, "--stage", "text",
                                          "--steps", "2",   "--out",  out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return pixart(arguments);
  };
  const auto pixels = [](const std::string& out) { return formats::load_image(path(out + "/0000.png")).rgb; };
  const auto tile_of = [](const std::string& out) {
    const auto text = formats::read_png_text(path(out + "/0000.png"));
    return text.contains("tile_size") ? text.at("tile_size") : "none";
  };
  for (const auto& [out, size] : {std::pair{"tile-auto", ""}, std::pair{"tile-0", "0"},
                                  std::pair{"tile-32", "32"}, std::pair{"tile-16", "16"}}) {
    const std::string wanted = size;
    const auto drawn = draw(
        out, wanted.empty() ? std::vector<std::string>{} : std::vector{std::string("--tile-size"), wanted});
    ASSERT_EQ(drawn.code, 0) << drawn.output;
    const bool in_tiles = wanted == "16";  // the image has 32 x 32 pixels
    EXPECT_EQ(tile_of(out), in_tiles ? "16" : "none") << out;
    EXPECT_EQ(pixels(out) == pixels("tile-auto"), !in_tiles) << out;
  }
  const auto again = pixart({"sample", "--from-image", "tile-16/0000.png", "--out", "tile-again"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(pixels("tile-again"), pixels("tile-16"));
  EXPECT_EQ(tile_of("tile-again"), "16");
  const auto other = draw("tile-auto", {"--tile-size", "16", "--resume"});
  EXPECT_EQ(other.code, 78) << other.output;
  EXPECT_THAT(other.output, HasSubstr("tile_size was '0', is '16'"));
  const auto odd = draw("tile-odd", {"--tile-size", "20"});
  EXPECT_EQ(odd.code, 78) << odd.output;
  EXPECT_THAT(odd.output, AllOf(HasSubstr("tile size 20"), HasSubstr("a multiple of 16 pixels; give 32")));
}

TEST_F(Sampling, ImagesSayNothingOfTheMachine) {
  const auto made = pixart({"sample", path("run"), kCaption, "--stage", "text", "--steps", "2", "--html",
                            "--numerics", "exact", "--out", "named"});
  ASSERT_EQ(made.code, 0) << made.output;
  for (const auto& [name, bytes] : bytes_below("named"))
    EXPECT_EQ(bytes.find(folder_->path().filename()), std::string::npos) << name;
  const fs::path image = path("named/0000.png");
  auto text = formats::read_png_text(image);
  EXPECT_EQ(text.at("model"), "run");
  EXPECT_THAT(text.at("model_sha256"), Not(HasSubstr("/")));
  const auto repeat = [&](const std::string& model, const std::string& out) {
    text["model"] = model;
    formats::save_png(path(out + ".png"), formats::load_image(image), text);
    return pixart({"sample", "--from-image", out + ".png", "--out", out});
  };
  // Images of earlier versions hold the whole path.
  for (const auto& [model, out] :
       {std::pair{path("run").string(), "earlier"}, std::pair{std::string("run"), "now"}}) {
    const auto again = repeat(model, out);
    ASSERT_EQ(again.code, 0) << again.output;
    EXPECT_EQ(formats::load_image(path(out) / "0000.png").rgb, formats::load_image(image).rgb);
    EXPECT_EQ(formats::read_png_text(path(out) / "0000.png").at("model"), "run");
  }
  const auto missing = repeat("another-run", "missing");
  EXPECT_EQ(missing.code, 78) << missing.output;
  EXPECT_THAT(missing.output, AllOf(HasSubstr("its model 'another-run' is not here"), HasSubstr("give MODEL"),
                                    HasSubstr(text.at("model_sha256"))));
}

}  // namespace
}  // namespace pixart::testing
