// pixart sample --suite: the files that the programs of evaluations read, the same bytes on every number of ranks
// and after a kill, and memory that does not grow.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>
#include <set>

#include "finished_run.h"
#include "pixart/formats/image_file.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

Arguments joined(Arguments first, const Arguments& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class SuiteDrawing : public FinishedRun {
 protected:
  static Arguments suite(const std::string& named, const std::string& stage, const std::string& out,
                         const Arguments& more = {}) {
    return joined({"sample", "run", "--suite", named, "--stage", stage, "--steps", "2", "--out", out}, more);
  }
  static ProcessResult on_ranks(int ranks, const Arguments& arguments) {
    return pixart(joined({"launch", "-n", std::to_string(ranks), "--timeout", "120", "--"}, arguments));
  }
  static std::map<std::string, std::string> bytes_below(const std::string& folder) {
    std::map<std::string, std::string> bytes;
    for (const auto& name : files_below(path(folder))) bytes[name] = text_of(path(folder) / name);
    return bytes;
  }
  static std::string pixels_of(const fs::path& image) {
    const Image loaded = formats::load_image(image);
    return {loaded.rgb.begin(), loaded.rgb.end()};
  }
  // Eleven prompts of two sizes, with ids and seeds, three at a time: groups of 3, 3, 1, 3 and 1.
  static Arguments eleven(const std::string& out, const Arguments& more = {}) {
    std::string lines;
    for (int i = 0; i < 11; ++i)
      lines += fmt::format("{{\"prompt\": \"scene number {0}\", \"id\": \"s{0}\", \"size\": [{1}, 48]{2}}}\n",
                           i, i < 7 ? 48 : 32, i == 2 ? ", \"seed\": 9" : "");
    write_text(path("eleven.jsonl"), lines);
    return suite("eleven.jsonl", "larger", out, joined({"--batch", "3", "--html"}, more));
  }
  static const std::map<std::string, std::string>& whole() {
    static const auto bytes = [] {
      const auto result = pixart(eleven("whole-suite"));
      EXPECT_EQ(result.code, 0) << result.output;
      return bytes_below("whole-suite");
    }();
    return bytes;
  }
};

TEST_F(SuiteDrawing, RanksGiveTheSameBytes) {
  ASSERT_EQ(whole().size(), 13u) << "eleven images, sample.json and index.html, and no grid";
  EXPECT_EQ(formats::load_image(path("whole-suite/s8.png")).height, 32);
  EXPECT_EQ(formats::read_png_text(path("whole-suite/s2.png")).at("seed"), "9");
  for (const int ranks : {2, 4}) {
    const std::string out = fmt::format("suite-on-{}", ranks);
    const auto drawn = on_ranks(ranks, eleven(out));
    ASSERT_EQ(drawn.code, 0) << drawn.output;
    EXPECT_TRUE(bytes_below(out) == whole()) << ranks << " ranks";
  }
}

TEST_F(SuiteDrawing, KilledItContinuesOnAnotherNumberOfRanks) {
  int number = 0;
  for (const auto& [file, ranks] : {std::pair{".tmp-s4.png", 1}, std::pair{".tmp-s9.png", 2}}) {
    const std::string out = fmt::format("killed-suite-{}", number++);
    {
      const Environment environment({{"LD_PRELOAD", PIXART_IO_SHIM},
                                     {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                     {"IO_SHIM_FOLDER", fs::canonical(folder_->path()) / out},
                                     {"IO_SHIM_MATCH", file},
                                     {"IO_SHIM_MODE", "kill"},
                                     {"IO_SHIM_AT", "4"},
                                     {"IO_SHIM_ERROR", std::to_string(ENOSPC)}});
      const auto killed = ranks == 1 ? pixart(eleven(out)) : on_ranks(ranks, eleven(out));
      ASSERT_EQ(killed.code, 128 + SIGKILL) << killed.output;
    }
    EXPECT_LT(bytes_below(out).size(), whole().size());
    const auto resumed = on_ranks(3 - ranks, eleven(out, {"--resume"}));
    ASSERT_EQ(resumed.code, 0) << resumed.output;
    EXPECT_TRUE(bytes_below(out) == whole()) << file;
  }
}

// The noise of an image belongs to its id, and its pixels do not depend on others with one image at a time.
TEST_F(SuiteDrawing, APartOfASuiteHasTheSameImages) {
  write_text(path("part.jsonl"), "{\"prompt\": \"scene number 8\", \"id\": \"s8\", \"size\": [32, 48]}\n");
  const auto part =
      pixart(suite("part.jsonl", "larger", "part-of-suite", {"--batch", "3", "--numerics", "exact"}));
  ASSERT_EQ(part.code, 0) << part.output;
  const auto exact = pixart(eleven("exact-suite", {"--numerics", "exact"}));
  ASSERT_EQ(exact.code, 0) << exact.output;
  EXPECT_EQ(pixels_of(path("part-of-suite/s8.png")), pixels_of(path("exact-suite/s8.png")));
  const auto again = pixart({"sample", "--from-image", "exact-suite/s2.png", "--out", "s2-again"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(pixels_of(path("s2-again/0000.png")), pixels_of(path("exact-suite/s2.png")));
}

TEST_F(SuiteDrawing, GenEvalAndCompBenchFindTheirFiles) {
  write_text(path("evaluation_metadata.jsonl"),
             "{\"tag\": \"colors\", \"include\": [], \"prompt\": \"a red cow\"}\n");
  const auto geneval = pixart(suite("evaluation_metadata.jsonl", "text", "geneval", {"--count", "2"}));
  ASSERT_EQ(geneval.code, 0) << geneval.output;
  EXPECT_THAT(files_below(path("geneval")), ElementsAre("00000/metadata.jsonl", "00000/samples/0000.png",
                                                        "00000/samples/0001.png", "sample.json"));
  EXPECT_THAT(text_of(path("geneval/00000/metadata.jsonl")), HasSubstr("\"prompt\":\"a red cow\""));
  fs::create_directories(path("dataset"));
  write_text(path("dataset/color_val.txt"), "a green bench\na blue bowl\n");
  const auto compbench = pixart(suite("dataset", "text", "compbench", {"--count", "2"}));
  ASSERT_EQ(compbench.code, 0) << compbench.output;
  EXPECT_THAT(files_below(path("compbench")),
              ElementsAre("color/samples/a blue bowl_000002.png", "color/samples/a blue bowl_000003.png",
                          "color/samples/a green bench_000000.png", "color/samples/a green bench_000001.png",
                          "sample.json"));
  const auto seed = [](const std::string& name) {
    return formats::read_png_text(path("compbench/color/samples/" + name)).at("seed");
  };
  EXPECT_EQ(seed("a blue bowl_000002.png"), "42");
  EXPECT_EQ(seed("a blue bowl_000003.png"), "43");
}

// The grid holds what the four images are by themselves, in rows of two.
TEST_F(SuiteDrawing, DpgHasGridsOfFour) {
  fs::create_directories(path("dpg"));
  write_text(path("dpg/whale1.txt"), "a whale of many words");
  const Arguments exact = {"--numerics", "exact", "--npz"};
  const auto refused = pixart(suite("dpg", "text", "dpg-images", exact));
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("--npz has no effect with grids"));
  const auto drawn = pixart(suite("dpg", "text", "dpg-images", {"--numerics", "exact"}));
  ASSERT_EQ(drawn.code, 0) << drawn.output;
  const Image grid = formats::load_image(path("dpg-images/images/whale1.png"));
  ASSERT_EQ(grid.height, 64);
  ASSERT_EQ(grid.width, 64);
  write_text(path("whale.jsonl"), "{\"prompt\": \"a whale of many words\", \"id\": \"whale1\"}\n");
  ASSERT_EQ(pixart(suite("whale.jsonl", "text", "whales", {"--count", "4", "--numerics", "exact"})).code, 0);
  for (int k = 0; k < 4; ++k) {
    const Image one = formats::load_image(path(fmt::format("whales/whale1_{}.png", k)));
    for (int y = 0; y < 32; ++y) {
      const auto* row = grid.at(k / 2 * 32 + y, k % 2 * 32);
      EXPECT_TRUE(std::equal(one.at(y, 0), one.at(y, 0) + 3 * 32, row)) << k << ", line " << y;
    }
  }
  const auto again =
      pixart({"sample", "--from-image", "dpg-images/images/whale1.png", "--out", "grid-again"});
  EXPECT_EQ(again.code, 78) << again.output;
  EXPECT_THAT(again.output, HasSubstr("is a grid of 4 images"));
}

// np.load gives [N, height, width, 3] bytes: the pixels are stored one image after the other.
TEST_F(SuiteDrawing, ClassesGiveAnArchiveOnEveryNumberOfRanks) {
  const Arguments more = {"--npz", "--guidance", "1.5", "--batch", "2"};
  const auto alone = pixart(suite("classes:5", "class", "archive", more));
  ASSERT_EQ(alone.code, 0) << alone.output;
  const auto together = on_ranks(2, suite("classes:5", "class", "archive-2", more));
  ASSERT_EQ(together.code, 0) << together.output;
  EXPECT_TRUE(bytes_below("archive") == bytes_below("archive-2"));
  std::string pixels;
  std::set<std::string> names;
  for (int i = 0; i < 5; ++i) {
    const fs::path image = path(fmt::format("archive/{:04}.png", i));
    pixels += pixels_of(image);
    names.insert(formats::read_png_text(image).at("prompt"));
  }
  EXPECT_GT(names.size(), 1u);
  const std::string archive = text_of(path("archive/samples.npz"));
  EXPECT_THAT(archive.substr(0, 256),
              AllOf(HasSubstr("arr_0.npy"), HasSubstr("'|u1'"), HasSubstr("(5, 32, 32, 3)")));
  EXPECT_NE(archive.find(pixels), std::string::npos);
  const auto other = pixart(suite("classes:5", "class", "archive", {"--overwrite", "--seed", "3"}));
  EXPECT_EQ(other.code, 0) << other.output;
  EXPECT_THAT(other.output, HasSubstr("samples.npz of the former images is deleted"));
  EXPECT_FALSE(fs::exists(path("archive/samples.npz")));
  const auto text_model = pixart(suite("classes:5", "text", "no-classes"));
  EXPECT_EQ(text_model.code, 78) << text_model.output;
  EXPECT_THAT(text_model.output, HasSubstr("needs a class model"));
}

TEST_F(SuiteDrawing, BothWeightsAreDrawnSideBySide) {
  write_text(path("captions.txt"), "a red circle\na blue square\n");
  const auto both = pixart(suite("captions.txt", "text", "both", {"--weights", "both"}));
  ASSERT_EQ(both.code, 0) << both.output;
  EXPECT_THAT(files_below(path("both")), ElementsAre("ema/0000.png", "ema/0001.png", "ema/sample.json",
                                                     "live/0000.png", "live/0001.png", "live/sample.json"));
  EXPECT_NE(pixels_of(path("both/ema/0000.png")), pixels_of(path("both/live/0000.png")));
  const auto live = pixart(suite("captions.txt", "text", "live-alone", {"--live-weights"}));
  ASSERT_EQ(live.code, 0) << live.output;
  EXPECT_EQ(text_of(path("both/live/0001.png")), text_of(path("live-alone/0001.png")));
  const auto stopped = [] {
    const Environment full({{"LD_PRELOAD", PIXART_IO_SHIM},
                            {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                            {"IO_SHIM_FOLDER", fs::canonical(folder_->path()) / "full-both"},
                            {"IO_SHIM_MATCH", ".tmp-0001.png"},
                            {"IO_SHIM_MODE", "fail_from"},
                            {"IO_SHIM_AT", "2"},
                            {"IO_SHIM_ERROR", std::to_string(ENOSPC)}});
    return pixart(suite("captions.txt", "text", "full-both", {"--weights", "both"}));
  }();
  EXPECT_EQ(stopped.code, 74) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("1 of 2 images are in full-both/ema. The same command with --out "
                                        "full-both --resume"));
  const auto homeless = pixart({"sample", "run", "--suite", "captions.txt", "--weights", "both"});
  EXPECT_EQ(homeless.code, 78) << homeless.output;
  EXPECT_THAT(homeless.output, HasSubstr("name their folder with --out"));
}

TEST_F(SuiteDrawing, AllMistakesAreToldBeforeAnythingIsDrawn) {
  write_text(path("faulty.jsonl"),
             "{\"prompt\": \"a\", \"id\": \"x\"}\n{\"prompt\": \"b\", \"id\": \"x\"}\n{\"title\": \"c\"}\n");
  const auto faulty = pixart(suite("faulty.jsonl", "text", "not-drawn"));
  EXPECT_EQ(faulty.code, 78) << faulty.output;
  EXPECT_THAT(faulty.output,
              AllOf(HasSubstr("line 2 has the id 'x'"), HasSubstr("line 3 has none of the keys")));
  write_text(path("sizes.jsonl"),
             "{\"prompt\": \"a\"}\n{\"prompt\": \"b\", \"size\": 33}\n{\"prompt\": \"c\", \"size\": 64}\n");
  const auto sizes = pixart(suite("sizes.jsonl", "text", "not-drawn"));
  EXPECT_EQ(sizes.code, 78) << sizes.output;
  EXPECT_THAT(sizes.output, AllOf(HasSubstr("line 2: "), HasSubstr("line 3: "), Not(HasSubstr("line 1: "))));
  write_text(path("names.jsonl"), "{\"prompt\": \"no such class\"}\n");
  const auto names = pixart(suite("names.jsonl", "class", "not-drawn"));
  EXPECT_EQ(names.code, 78) << names.output;
  EXPECT_THAT(names.output, HasSubstr("'no such class' is not a class"));
  const auto prompts = pixart(suite("sizes.jsonl", "text", "not-drawn", {"a prompt, too"}));
  EXPECT_EQ(prompts.code, 78) << prompts.output;
  EXPECT_THAT(prompts.output, HasSubstr("--suite has its own prompts"));
  EXPECT_FALSE(fs::exists(path("not-drawn")));
}

// An image may add 7 KB to the peak, a hundredth of what it once took; its prompt and name take less than one.
TEST_F(SuiteDrawing, MemoryDoesNotGrowWithTheNumberOfImages) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer keeps freed memory";
#endif
  const auto peak = [](int images) {
    std::string lines;
    for (int i = 0; i < images; ++i) lines += fmt::format("caption number {}\n", i);
    const std::string name = fmt::format("captions-{}.txt", images);
    write_text(path(name), lines);
    const auto drawn = pixart(suite(name, "text", fmt::format("images-{}", images),
                                    {"--batch", "10", "--no-cache", "--guidance", "1"}));
    EXPECT_EQ(drawn.code, 0) << drawn.output;
    return drawn.peak_bytes;
  };
  const int64_t few = peak(100), many = peak(1000);
  fmt::print("peak {:.1f} MB with 100 images, {:.1f} MB with 1000\n", double(few) / 1e6, double(many) / 1e6);
  EXPECT_GT(few, int64_t{1} << 20);
  EXPECT_LT(many - few, int64_t{900} * 7000);
}

}  // namespace
}  // namespace pixart::testing
