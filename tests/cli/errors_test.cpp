// Wrong input: one clear message with place and remedy, the documented exit code, nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

class Errors : public ::testing::Test {
 protected:
  // Writes the tiny run file with one change and trains it.
  ProcessResult train(const std::string& from, const std::string& to,
                      const std::vector<std::string>& more = {}) {
    write_text(folder_ / "run.yaml", replaced(tiny_run_yaml(), from, to));
    std::vector<std::string> arguments = {"train", "run.yaml"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder_.path());
  }
  // An image folder with `count` captioned images as the source.
  void write_images(int count) {
    fs::create_directories(folder_ / "images");
    for (int i = 0; i < count; ++i) {
      formats::save_png(folder_ / "images" / (std::to_string(i) + ".png"), Image(40, 40, uint8_t(20 * i)));
      write_text(folder_ / "images" / (std::to_string(i) + ".txt"),
                 "a grey square number " + std::to_string(i) + "\n");
    }
  }
  ProcessResult train_images(const std::vector<std::string>& more = {}) {
    std::string text = tiny_run_yaml();
    text = replaced(text, "{name: scenes, type: scenes, count: 48}",
                    "{name: scenes, type: image_folder, path: images}");
    text = text.substr(0, text.find("  - name: class"));
    write_text(folder_ / "run.yaml", text);
    std::vector<std::string> arguments = {"train", "run.yaml"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder_.path());
  }
  bool run_folder_exists() const { return fs::exists(folder_ / "run"); }
  TemporaryFolder folder_;
};

std::string golden(const std::string& file) {
  const char* folder = std::getenv("PIXART_GOLDEN_DIR");
  return (fs::path(folder) / file).string();
}

TEST_F(Errors, BadWeightFilesLeaveNoTrace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"pth/evil_os_system/model.pth", "posix.system"},
      {"pth/bad_crc_mismatch/model.pth", "CRC-32"},
      {"pth/bad_truncated_half/model.pth", "cut off"},
      {"safetensors/bad_overlap/file.safetensors", "overlap"},
      {"safetensors/bad_length_huge/file.safetensors", "header"},
      {"safetensors/bad_truncated_data/file.safetensors", "byte"}};
  for (const auto& [file, reason] : cases) {
    const std::string path = golden(file);
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"inspect", path, "--verify"}, {"convert", path, "out.pth"}}) {
      const auto result = run_pixart(command, folder_.path());
      EXPECT_EQ(result.code, 78) << file;
      EXPECT_THAT(result.output, HasSubstr(file));
      if (command[0] == "inspect") {
        EXPECT_THAT(result.output, HasSubstr(reason)) << file;
      }
      EXPECT_EQ(files_below(folder_.path()), std::vector<std::string>{"output.txt"}) << file;
    }
  }
}

TEST_F(Errors, ConversionsThatCannotBe) {
  const std::string dit = golden("dit_diffusers/tiny/transformer");
  const auto convert = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "convert");
    const auto result = run_pixart(arguments, folder_.path());
    EXPECT_EQ(result.code, 78) << result.output;
    return result.output;
  };
  EXPECT_THAT(convert({dit, "x.pth", "--ema"}), HasSubstr("only one set of weights"));
  EXPECT_THAT(convert({dit, "x.pth", "--pipeline"}), HasSubstr("a pipeline is written to a folder"));
  EXPECT_THAT(convert({dit, "x", "--pipeline"}), HasSubstr("--vae"));
  EXPECT_THAT(convert({dit, "no/folder/x.pth"}), HasSubstr("does not exist"));
  EXPECT_THAT(convert({dit, "x.pth", "--dtype", "float8"}), HasSubstr("float8"));
  EXPECT_THAT(convert({dit, "x.pth", "--reparametrize"}), HasSubstr("Did you mean '--reparameterize'"));
  EXPECT_THAT(convert({dit, "x.pth", "--reparameterize", "--shared-modulation", "block:9"}),
              HasSubstr("block:<i>"));
  EXPECT_THAT(convert({golden("pixart_diffusers/fixed/transformer"), "x.pth", "--reparameterize"}),
              HasSubstr("only a DiT"));
  EXPECT_THAT(convert({golden("dit/tiny/weights.safetensors"), "x.pth"}), HasSubstr("--num-heads"));
  EXPECT_THAT(convert({dit, "x.pth", "--reparameterize", "--image-size", "300"}), HasSubstr("multiple of 8"));
  EXPECT_THAT(convert({dit, "x.pth", "--image-size", "256"}), HasSubstr("--reparameterize"));
  EXPECT_THAT(convert({golden("vae/odd_latent/vae"), "x", "--reparameterize"}), HasSubstr("an autoencoder"));
  EXPECT_EQ(files_below(folder_.path()), std::vector<std::string>{"output.txt"});
}

TEST_F(Errors, UnknownKeyNamesLineAndNearest) {
  const auto result = train("patch_size: 2", "patch_sise: 2");
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("run.yaml:7"), HasSubstr("patch_sise"), HasSubstr("patch_size")));
  EXPECT_FALSE(run_folder_exists());
}

TEST_F(Errors, WrongTypeNamesLineAndKey) {
  const auto result = train("steps: 8", "steps: many");
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("run.yaml:"), HasSubstr("steps"), HasSubstr("many")));
  EXPECT_FALSE(run_folder_exists());
}

TEST_F(Errors, AllProblemsOfAFileAtOnce) {
  const auto result = train("seed: 3", "seed: -3\nsead: 4\ndevice: [cpu]");
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("run.yaml:2"), HasSubstr("run.yaml:3"), HasSubstr("run.yaml:4"),
                                   HasSubstr("sead")));
}

TEST_F(Errors, PatternsThatMatchNoParameter) {
  const auto result =
      train("    ema_decay: 0\n",
            "    ema_decay: 0\n    frozen: [encoder.*, decodr.*]\n    optimizer: {no_decay: ['*.bais']}\n");
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("stage autoencoder"), HasSubstr("frozen: 'decodr.*' matches no parameter"),
                    HasSubstr("Did you mean 'decoder.*'?"), HasSubstr("'*.bais'"),
                    HasSubstr("Did you mean '*.bias'?")));
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoints/autoencoder/step-00000000"));
}

TEST_F(Errors, MissingRunFile) {
  const auto result = run_pixart({"train", "absent.yaml"}, folder_.path());
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("absent.yaml"));
}

TEST_F(Errors, MissingDataFolder) {
  const auto result = train("type: scenes, count: 48", "type: image_folder, path: nowhere");
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("nowhere"));
}

TEST_F(Errors, MissingAutoencoderFolder) {
  const auto result =
      train("block_out_channels: [8, 8, 16], layers_per_block: 1, norm_num_groups: 4", "path: no-vae");
  EXPECT_EQ(result.code, 78);
}

TEST_F(Errors, UnreadableImage) {
  write_images(9);
  write_text(folder_ / "images" / "3.png", "this is no image");
  const auto result = train_images();
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("3.png"));
}

TEST_F(Errors, TruncatedImage) {
  write_images(9);
  fs::resize_file(folder_ / "images" / "4.png", fs::file_size(folder_ / "images" / "4.png") - 20);
  const auto result = train_images();
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("4.png"));
}

TEST_F(Errors, MissingCaptionsAreAllNamedWithTheRemedy) {
  write_images(9);
  fs::remove(folder_ / "images" / "2.txt");
  fs::remove(folder_ / "images" / "5.txt");
  const auto result = train_images();
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("2.png"), HasSubstr("5.png"), HasSubstr("missing_caption")));
}

TEST_F(Errors, WrongTensorShapesAreAllNamed) {
  const auto first = train("run: run", "run: run", {"--stage", "autoencoder"});
  ASSERT_EQ(first.code, 0) << first.output;
  // A model of another width starts from these weights.
  std::string text = tiny_run_yaml();
  text = replaced(text, "[8, 8, 16]", "[8, 16, 16]");
  text = replaced(text, "ema_decay: 0\n",
                  "ema_decay: 0\n    init: {how: copy, from: "
                  "run/checkpoints/autoencoder/step-00000008/ema.safetensors}\n");
  write_text(folder_ / "other.yaml", text);
  const auto result = run_pixart({"train", "other.yaml", "--set", "run=other"}, folder_.path());
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("ema.safetensors"), HasSubstr("encoder.down_blocks.1.resnets.0.conv1.weight"),
                    HasSubstr("decoder.up_blocks.1.resnets.0.conv1.weight")));
  EXPECT_TRUE(files_below(folder_ / "other/checkpoints/autoencoder").empty());
}

TEST_F(Errors, BadPromptFile) {
  const auto trained = train("run: run", "run: run");
  ASSERT_EQ(trained.code, 0) << trained.output;
  const auto missing = run_pixart({"sample", "run", "--prompts", "none.txt"}, folder_.path());
  EXPECT_EQ(missing.code, 78);
  EXPECT_THAT(missing.output, HasSubstr("none.txt"));
  write_text(folder_ / "empty.txt", "\n\n");
  const auto empty = run_pixart({"sample", "run", "--prompts", "empty.txt"}, folder_.path());
  EXPECT_EQ(empty.code, 78);
  EXPECT_THAT(empty.output, HasSubstr("has no prompts"));
  write_text(folder_ / "binary.txt", std::string("a cat\nb\0d\n", 10));
  const auto binary = run_pixart({"sample", "run", "--prompts", "binary.txt"}, folder_.path());
  EXPECT_EQ(binary.code, 78);
  EXPECT_THAT(binary.output, HasSubstr("line 2"));
  for (const auto& [name, text, message] : std::vector<std::array<std::string, 3>>{
           {"a.jsonl", "{\"prompt\": \"a\"}\nnot JSON\n", "line 2 is not JSON"},
           {"b.jsonl", "{\"prompt\": \"a\"}\n\n[1]\n", "line 3 is not a JSON object with a prompt"},
           {"c.jsonl", "{\"prompt\": \"a\"}\n{\"words\": \"b\"}\n", "line 2 has none of the keys prompt"},
           {"d.NDJSON", "{\"prompt\": 3}\n", "line 1 has a prompt that is not a text"},
           {"e.txt", "{\"prompt\": \"a\"}\n{\"prompt\": [\"a\", 3]}\n",
            "line 2 has a prompt that is not a text"},
           {"f.txt", "a caf\xE9\n", "line 1 is not UTF-8"},
           {"i.txt",
            std::string("\xFF\xFE"
                        "a\0\n\0",
                        6),
            "i.txt is UTF-16. Save it as UTF-8."},
           {"g.jsonl", "{\"prompt\": \"\"}\n", "has no prompts"},
           {"h.jsonl", "{\"prompt\": \"" + std::string(10001, 'x') + "\"}", "line 1 has 10001 bytes"}}) {
    write_text(folder_ / name, text);
    const auto result = run_pixart({"sample", "run", "--prompts", folder_ / name}, folder_.path());
    EXPECT_EQ(result.code, 78) << name;
    EXPECT_THAT(result.output, HasSubstr(message)) << name;
  }
  EXPECT_FALSE(fs::exists(folder_ / "samples"));
  fs::create_directories(folder_ / "begun");
  write_text(folder_ / "begun/.lock", "");
  const auto begun = run_pixart({"sample", "begun", "a"}, folder_.path());
  EXPECT_EQ(begun.code, 78);
  EXPECT_THAT(begun.output, HasSubstr("begun is empty: it has no run, checkpoint, pipeline or weights"));
  write_text(folder_ / "begun/notes.txt", "");
  EXPECT_THAT(run_pixart({"sample", "begun", "a"}, folder_.path()).output,
              HasSubstr("begun has no file of weights"));
  const auto unknown_class = run_pixart({"sample", "run", "--stage", "class", "red circel"}, folder_.path());
  EXPECT_EQ(unknown_class.code, 78);
  EXPECT_THAT(unknown_class.output, HasSubstr("red circle"));
  const auto unknown_stage = run_pixart({"sample", "run", "--stage", "txet", "x"}, folder_.path());
  EXPECT_EQ(unknown_stage.code, 78);
  EXPECT_THAT(unknown_stage.output, HasSubstr("Did you mean 'text'?"));
}

TEST_F(Errors, NoSpaceIsLoudAndLeavesNothingHalfWritten) {
  write_text(folder_ / "run.yaml", tiny_run_yaml());
  constexpr int64_t kLimit = 100 << 10;  // bytes per file: smaller than the optimizer's
  const auto result = run_pixart({"train", "run.yaml"}, folder_.path(), kLimit);
  EXPECT_EQ(result.code, 74) << result.output;
  EXPECT_THAT(result.output, HasSubstr("safetensors"));
  for (const auto& file : files_below(folder_ / "run/checkpoints"))
    EXPECT_THAT(file, Not(HasSubstr("tmp"))) << file;
  const auto again = run_pixart({"train", "run.yaml"}, folder_.path());
  EXPECT_EQ(again.code, 0) << again.output;
}

TEST_F(Errors, ChangedConfigOfABegunRun) {
  const auto first = train("run: run", "run: run", {"--stage", "autoencoder"});
  ASSERT_EQ(first.code, 0) << first.output;
  const auto result =
      train("run: run", "run: run", {"--set", "seed=4", "--set", "stages.autoencoder.batch_size=16"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("seed was 3, is 4"), HasSubstr("--allow-change")));
  const auto free =
      train("run: run", "run: run", {"--stage", "autoencoder", "--set", "stages.class.log_every=7"});
  EXPECT_EQ(free.code, 0) << free.output;
}

TEST_F(Errors, ResultsOfSomebodyElseInTheRunFolder) {
  fs::create_directories(folder_ / "run/samples/class");
  for (const char* name : {"events.jsonl", "samples/class/step-00000002.png"})
    write_text(folder_ / "run" / name, "mine");
  const auto result = train("seed: 3", "seed: 3");
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("events.jsonl is there already"),
                                   HasSubstr("samples/class is there"), HasSubstr("--set run=FOLDER")));
  for (const char* name : {"events.jsonl", "samples/class/step-00000002.png"})
    EXPECT_EQ(read_file(folder_ / "run" / name), "mine");
  EXPECT_FALSE(fs::exists(folder_ / "run/run.yaml"));
}

TEST_F(Errors, RunFolderInUse) {
  write_text(folder_ / "run.yaml", tiny_run_yaml());
  Process owner({"train", "run.yaml", "--set", "stages.autoencoder.steps=100000"}, folder_.path());
  while (!fs::exists(folder_ / "run/checkpoints/autoencoder/step-00000000/manifest.json")) ::usleep(50000);
  fs::create_directories(folder_ / "elsewhere");
  const auto second =
      run_pixart({"train", "../run.yaml", "--set", "run=../run", "--set", "stages.autoencoder.steps=100000"},
                 folder_ / "elsewhere");
  owner.kill(SIGKILL);
  owner.wait();
  EXPECT_EQ(second.code, 73) << second.output;
  EXPECT_THAT(second.output, HasSubstr("is in use by process"));
}

TEST_F(Errors, CommandLineTypos) {
  const auto command = run_pixart({"trian", "run.yaml"}, folder_.path());
  EXPECT_EQ(command.code, 78);
  EXPECT_THAT(command.output, HasSubstr("Did you mean 'train'?"));
  EXPECT_THAT(run_pixart({"demo"}, folder_.path()).output,
              HasSubstr("a command is missing; known are score, read. See pixart demo --help."));
  EXPECT_THAT(run_pixart({"evaluate", "run"}, folder_.path()).output, HasSubstr("`pixart demo score RUN`"));
  EXPECT_THAT(run_pixart({"convert", "a"}, folder_.path()).output,
              HasSubstr("TARGET is required. See pixart convert --help."));
  const auto option = run_pixart({"train", "run.yaml", "--chek"}, folder_.path());
  EXPECT_EQ(option.code, 78);
  EXPECT_THAT(option.output, HasSubstr("Did you mean '--check'?"));
  EXPECT_EQ(run_pixart({}, folder_.path()).code, 78);
}

TEST_F(Errors, MissingDeviceIs76) {
  if (fs::exists("/dev/nvidiactl"))
    GTEST_LOG_(INFO) << "this machine has a GPU; a device that cannot exist is asked for";
  const auto result = train("device: cpu", "device: cuda:99");
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_FALSE(run_folder_exists());
}

TEST_F(Errors, AModelWhoseCheckpointsFitOnNoDiskIsRefusedFirst) {
  const auto result = train("[8, 8, 16]", "[65536, 65536, 65536]");
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("run has room for"), HasSubstr("for checkpoints"),
                                   HasSubstr("checkpoints.keep_last")));
}

// LibTorch's pools would wait for ever, or end the process, for a thread that the system refuses.
TEST_F(Errors, TooManyThreadsAre76) {
  for (const std::string of : {"", "libgomp"}) {
    const Environment environment({{"LD_PRELOAD", PIXART_PROCESS_SHIM},
                                   {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                   {"PROCESS_SHIM_NO_THREADS_OF", of}});
    const auto result = train("run: run", "run: run", {"--stage", "autoencoder"});
    EXPECT_EQ(result.code, 76) << result.output;
    EXPECT_THAT(result.output, AllOf(HasSubstr("ulimit -u"), Not(HasSubstr("report it"))));
  }
}

TEST_F(Errors, TooLittleMemoryIs76) {
  constexpr const char* kLess = "100000";  // than the 48 images of 3 x 32 x 32 bytes
  const Environment environment({{"LD_PRELOAD", PIXART_PROCESS_SHIM},
                                 {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                 {"PROCESS_SHIM_MOST_BYTES", kLess}});
  const auto result = train("run: run", "run: run", {"--stage", "autoencoder"});
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("there is too little memory: "), HasSubstr(" were asked for"),
                                   HasSubstr("micro_batch_size"), Not(HasSubstr("report it"))));
}

TEST_F(Errors, TooManyOpenFilesAre76) {
  write_text(folder_ / "run.yaml", tiny_run_yaml());
  Process process({"train", "run.yaml"}, folder_.path(), -1, [] {
    for (int inherited = 3; inherited < 256; ++inherited) ::close(inherited);
    const rlimit limit{5, 5};  // the libraries are loaded one by one
    ::setrlimit(RLIMIT_NOFILE, &limit);
  });
  const auto result = process.wait();
  EXPECT_EQ(result.code, 76) << result.output;
  EXPECT_THAT(result.output, HasSubstr("ulimit -n"));
}

// Links in a circle cannot be read by anybody, not even by root.
TEST_F(Errors, FoldersThatCannotBeReadAreNamed) {
  fs::create_symlink("b", folder_ / "a");
  fs::create_symlink("a", folder_ / "b");
  write_text(folder_ / "run.yaml", tiny_run_yaml());
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"inspect", "a"},
                                             {"convert", "a/x.pth", "y.safetensors"},
                                             {"report", "a"},
                                             {"sample", "a", "a red circle"},
                                             {"extract", "run.yaml", "--set", "run=a"}}) {
    const auto result = run_pixart(command, folder_.path());
    EXPECT_EQ(result.code, 78) << command.front();
    EXPECT_THAT(result.output, AllOf(HasSubstr("Too many levels of symbolic links"),
                                     HasSubstr("cannot use a"), Not(HasSubstr("report it"))))
        << command.front();
  }
}

TEST_F(Errors, InspectOfABrokenFile) {
  write_text(folder_ / "broken.safetensors", "12345678{}");
  const auto result = run_pixart({"inspect", "broken.safetensors"}, folder_.path());
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("broken.safetensors"));
}

// Anyone may write the text of a PNG.
TEST_F(Errors, NumbersInAnImageObeyTheLimitsOfTheOptions) {
  const std::map<std::string, std::string> fine = {
      {"prompt", "a cat"}, {"negative_prompt", ""}, {"height", "32"},    {"width", "32"}, {"seed", "1"},
      {"index", "0"},      {"num_steps", "3"},      {"guidance", "2.5"}, {"stage", ""},   {"sampler", "dpm"}};
  for (const auto& [key, value, message] : std::vector<std::array<std::string, 3>>{
           {"height", "2000000000", "height is 2000000000; allowed is 8 to 16384"},
           {"width", "-8", "width is -8"},
           {"num_steps", "99999999999", "num_steps is 99999999999; allowed is 1 to 1000"},
           {"num_steps", "99999999999999999999999", "is not such a number"},
           {"num_steps", "3 or so", "'3 or so' is not such a number"},
           {"guidance", "nan", "guidance is nan; allowed is 1 to 100"},
           {"guidance", "1e300", "guidance is 1e300"},
           {"index", "-1", "index is -1"},
           {"tile_size", "-16", "tile_size is -16; allowed is 0 to 16384"},
           {"seed", "-1", "seed '-1' is not such a number"},
           {"process", R"({"prediction": "score"})", "unknown prediction 'score'"},
           {"process", R"({"prediction": "flow", "shift": -1})", "a shift of -1"}}) {
    auto text = fine;
    text[key] = value;
    formats::save_png(folder_ / "recipe.png", Image(8, 8), text);
    const auto result = run_pixart({"sample", "nowhere", "--from-image", "recipe.png"}, folder_.path());
    EXPECT_EQ(result.code, 78) << result.output;
    EXPECT_THAT(result.output, AllOf(HasSubstr("recipe.png"), HasSubstr(message)));
  }
  auto text = fine;
  text["height"] = text["width"] = "1";
  formats::save_png(folder_ / "recipe.png", Image(8, 8), text);
  EXPECT_THAT(run_pixart({"sample", "nowhere", "--from-image", "recipe.png"}, folder_.path()).output,
              AllOf(HasSubstr("2 problems"), HasSubstr("height is 1"), HasSubstr("width is 1")));
}

TEST_F(Errors, ScoreNamesAllThatIsMissing) {
  write_images(2);
  const auto result = run_pixart({"score", "images", "--metrics", "fid,kid", "--save-statistics", "real.txt"},
                                 folder_.path());
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("a reference is missing"), HasSubstr("weights are missing"),
                                   HasSubstr("real.txt: statistics are stored in .npz files")));
  EXPECT_EQ(run_pixart({"score", "images", "--metrics", "fdi"}, folder_.path()).code, 78);
}

TEST_F(Errors, ScoresOfOtherProtocolsAreNotCompared) {
  const std::string card =
      R"({"kind": "pixart score, 1", "scores": {"fid": 12.5}, "protocol": {"resize": "clean"}, "machine": {}})";
  write_text(folder_ / "a.json", card);
  write_text(folder_ / "b.json", replaced(replaced(card, "clean", "pytorch"), "12.5", "11.25"));
  write_text(folder_ / "c.json", replaced(card, "12.5", "13"));
  const auto compare = [&](const std::string& other, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"score", "--compare", "a.json", other};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder_.path());
  };
  const auto refused = compare("b.json"), shown = compare("b.json", {"--different-protocols"});
  EXPECT_EQ(refused.code, 78);
  EXPECT_THAT(refused.output, AllOf(HasSubstr("resize: clean and pytorch"), Not(HasSubstr("11.25"))));
  EXPECT_EQ(shown.code, 0) << shown.output;
  EXPECT_THAT(shown.output, AllOf(HasSubstr("different protocol: resize"), HasSubstr("11.25")));
  const auto same = compare("c.json");
  EXPECT_EQ(same.code, 0) << same.output;
  EXPECT_THAT(same.output, AllOf(HasSubstr("12.5"), HasSubstr("13")));
}

}  // namespace
}  // namespace pixart::testing
