// Scores of images that a run draws: the same values as of the same images in a folder.
#include "pixart/score/drawn_scores.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "drawn_networks.h"
#include "formula_inception.h"
#include "images.h"
#include "inception.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/score/score.h"
#include "scratch_folder.h"
#include "tiny_clip.h"

namespace pixart::score {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const auto kNothing = [] {};
const std::vector<std::string> kPrompts = {"a red circle", "two dogs", "a house on a hill", "snow", "a tree"};

class DrawnScoring : public testing::ScratchFolder {
 protected:
  DrawnScoring() {
    draw("images", {"a", "b", "c", "d", "e"}, 48);
    draw("real", {"p", "q", "r", "s", "t", "u"}, 64);
    testing::write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR);
    testing::write_tiny_head(folder_ / "head.safetensors");
  }
  void draw(const std::string& folder, const std::vector<std::string>& names, int side) const {
    fs::create_directories(folder_ / folder);
    for (const auto& name : names)
      formats::save_png(folder_ / folder / (name + ".png"), testing::formula_image(name, side, side + 8));
  }
  void write_inception() const {
    std::vector<formats::NamedTensor> tensors;
    for (const auto& [name, tensor] : testing::formula_weights(inception_shapes()))
      tensors.push_back({name, tensor});
    formats::save_safetensors(folder_ / "weights.safetensors", tensors);
  }
  std::vector<Image> images() const {
    const auto list = open_images(folder_ / "images");
    std::vector<Image> images;
    for (int64_t i = 0; i < list.size; ++i) images.push_back(list.read(i));
    return images;
  }
  DrawnScoresConfig of_clip() const {
    return {.scores = {"cmmd", "clip", "aesthetic", "pickscore"},
            .reference = folder_ / "real",
            .clip = folder_ / "clip",
            .aesthetic_head = folder_ / "head.safetensors"};
  }
  fs::path cache() const { return folder_ / "cache"; }

  // Rows made in two groups, as two ranks would.
  DrawnRows rows_of(const DrawnScores& scores) const {
    const auto all = images();
    const auto first = scores.rows({all.begin(), all.begin() + 3}),
               second = scores.rows({all.begin() + 3, all.end()});
    DrawnRows both{.rows = at::cat({first.rows, second.rows}), .hashes = first.hashes};
    both.hashes.insert(both.hashes.end(), second.hashes.begin(), second.hashes.end());
    return both;
  }
};

std::map<std::string, double> by_name(const std::vector<std::pair<std::string, double>>& values) {
  return {values.begin(), values.end()};
}

TEST_F(DrawnScoring, OfClipAreThoseOfAFolder) {
  write("prompts.txt", "a red circle\ntwo dogs\na house on a hill\nsnow\na tree\n");
  DrawnScores scores(of_clip(), at::kCPU);
  EXPECT_EQ(scores.width(), 2 * testing::kTinyEmbedding);
  scores.open_reference(cache(), kNothing);
  scores.set_prompts(kPrompts, kNothing);
  const auto rows = rows_of(scores);
  const auto drawn = scores.values(rows.rows, kNothing);
  const auto folder =
      score({.metrics = {Metric::kCmmd, Metric::kClip, Metric::kAesthetic, Metric::kPickscore},
             .images = folder_ / "images",
             .reference = folder_ / "real",
             .clip = folder_ / "clip",
             .aesthetic_head = folder_ / "head.safetensors",
             .prompts = folder_ / "prompts.txt",
             .device = "cpu"});
  const auto want = by_name(folder.values), got = by_name(drawn.values);
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, value] : want)
    EXPECT_NEAR(got.at(name), value, 1e-5 * (1 + std::abs(value))) << name;
  const auto compared = compare_cards(scores.card(drawn, {.name = "drawn", .hashes = rows.hashes}), "drawn",
                                      folder.card, "folder");
  for (const auto& difference : compared.protocol)
    ADD_FAILURE() << difference.name << ": " << difference.first << ", " << difference.second;
  EXPECT_EQ(nlohmann::json::parse(scores.card(drawn, {.hashes = rows.hashes}))["images"]["sha256"],
            nlohmann::json::parse(folder.card)["images"]["sha256"]);
}

TEST_F(DrawnScoring, OfInceptionAreThoseOfAFolder) {
  write_inception();
  DrawnScores scores({.scores = {"fid", "kid", "precision-recall"},
                      .reference = folder_ / "real",
                      .weights = folder_ / "weights.safetensors"},
                     at::kCPU);
  scores.open_reference(cache(), kNothing);
  const auto rows = rows_of(scores);
  const auto drawn = scores.values(rows.rows, kNothing);
  const auto folder = score({.metrics = {Metric::kFid, Metric::kKid, Metric::kPrecisionRecall},
                             .images = folder_ / "images",
                             .reference = folder_ / "real",
                             .weights = folder_ / "weights.safetensors",
                             .device = "cpu"});
  const auto want = by_name(folder.values), got = by_name(drawn.values);
  for (const char* name : {"fid", "kid", "precision", "recall"})
    EXPECT_NEAR(got.at(name), want.at(name), 1e-4 * (1e-3 + std::abs(want.at(name)))) << name;
  EXPECT_THAT(drawn.notes.at(0), HasSubstr("FID is biased"));
  EXPECT_THAT(
      compare_cards(scores.card(drawn, {.hashes = rows.hashes}), "drawn", folder.card, "folder").protocol,
      IsEmpty());
}

// A second start reads what the first one computed; a damaged file is not believed.
TEST_F(DrawnScoring, TheReferenceIsComputedOnce) {
  auto config = of_clip();
  config.scores = {"cmmd"};
  config.aesthetic_head.clear();
  const auto value = [&](int& batches) {
    DrawnScores scores(config, at::kCPU);
    batches = 0;
    scores.open_reference(cache(), [&] { ++batches; });
    return scores.values(rows_of(scores).rows, kNothing).values.at(0).second;
  };
  int batches = 0;
  const double first = value(batches);
  EXPECT_EQ(batches, 1);
  EXPECT_EQ(value(batches), first);
  EXPECT_EQ(batches, 0) << "computed twice";
  for (const auto& entry : fs::directory_iterator(cache())) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-3, std::ios::end);
    file.put('x');
  }
  EXPECT_EQ(value(batches), first);
  EXPECT_EQ(batches, 1);
  formats::save_png(folder_ / "real/v.png", testing::formula_image("v", 64, 72));
  EXPECT_NE(value(batches), first) << "another listing";
  EXPECT_EQ(batches, 1);
}

// A request to stop leaves no half of a reference.
TEST_F(DrawnScoring, AnEndBetweenBatchesKeepsNothing) {
  struct Ended {};
  auto config = of_clip();
  config.scores = {"cmmd"};
  config.aesthetic_head.clear();
  DrawnScores scores(config, at::kCPU);
  EXPECT_THROW(scores.open_reference(cache(), [] { throw Ended(); }), Ended);
  EXPECT_FALSE(fs::exists(cache()));
}

TEST_F(DrawnScoring, AllProblemsAreNamedBeforeARun) {
  auto config = of_clip();
  for (const auto& [scores, least] : std::vector<std::pair<std::vector<std::string>, int64_t>>{
           {{"clip", "aesthetic", "pickscore"}, 1}, {{"clip", "cmmd"}, 2}, {{"fid"}, 2}, {{"kid"}, 2}}) {
    config.scores = scores;
    EXPECT_EQ(config.least_images(), least) << scores.back();
  }
  config.scores = {"fid", "cmmd", "aesthetic"};
  config.weights = folder_ / "none.pth";
  config.reference = folder_ / "missing";
  formats::save_safetensors(folder_ / "head.safetensors",
                            {{"weight", at::zeros({1, 768})}, {"bias", at::zeros({1})}});
  Problems problems;
  check_drawn_scores(config, problems);
  std::string all;
  for (const auto& problem : problems.all()) all += problem + "\n";
  EXPECT_THAT(all, AllOf(HasSubstr("metrics.weights: "), HasSubstr("none.pth does not exist"),
                         HasSubstr("metrics.reference: "), HasSubstr("missing"),
                         HasSubstr("is for embeddings of 768 channels")));
  Problems none;
  draw("others", {"x", "y"}, 16);
  testing::write_tiny_head(folder_ / "head.safetensors");
  auto good = of_clip();
  good.reference = folder_ / "others";
  check_drawn_scores(good, none);
  EXPECT_THAT(none.all(), IsEmpty());
}

// A model that cannot be opened hides no other file.
TEST_F(DrawnScoring, AWrongModelHidesNoOtherProblem) {
  auto config = of_clip();
  config.clip = folder_ / "real";
  config.clip_tokenizer = folder_ / "images";
  config.aesthetic_head = folder_ / "none.pth";
  Problems problems;
  check_drawn_scores(config, problems);
  EXPECT_THAT(problems.all(),
              ElementsAre(StartsWith("metrics.clip: "), StartsWith("metrics.clip_tokenizer: "),
                          StartsWith("metrics.aesthetic_head: ")));
}

// Statistics that belong to other settings are refused before a run, not when its stage begins.
TEST_F(DrawnScoring, StatisticsOfOtherSettingsAreRefusedBeforeARun) {
  write_inception();
  ScoreRequest request{
      .metrics = {}, .images = folder_ / "real", .weights = folder_ / "weights.safetensors", .device = "cpu"};
  request.save_statistics = folder_ / "real.npz";
  score(request);
  DrawnScoresConfig config{
      .scores = {"fid"}, .reference = folder_ / "real.npz", .weights = folder_ / "weights.safetensors"};
  const auto problems_of = [&config] {
    Problems problems;
    check_drawn_scores(config, problems);
    return problems.all();
  };
  EXPECT_THAT(problems_of(), IsEmpty());
  config.resize = ResizeRule::kPytorch;
  EXPECT_THAT(problems_of(), ElementsAre(HasSubstr("was computed with the resize rule clean")));
  config.resize = ResizeRule::kClean;
  std::vector<formats::NamedTensor> others;
  for (const auto& [name, tensor] : testing::formula_weights(inception_shapes()))
    others.push_back({name, tensor * 0.5});
  formats::save_safetensors(folder_ / "weights.safetensors", others);
  EXPECT_THAT(problems_of(), ElementsAre(HasSubstr("was computed with other weights")));
}

// What the process had before is there again, also where a network fails.
TEST_F(DrawnScoring, LeavesTheSettingsOfTheProcess) {
  at::globalContext().setFloat32MatmulPrecision("high");
  const int threads = at::get_num_threads();
  const bool convolutions = at::globalContext().allowTF32CuDNN(at::Float32Op::CONV);
  auto config = of_clip();
  config.scores = {"aesthetic"};
  config.reference.clear();
  const DrawnScores scores(config, at::kCPU);
  rows_of(scores);
  EXPECT_EQ(at::globalContext().float32MatmulPrecision(), at::Float32MatmulPrecision::HIGH);
  EXPECT_EQ(at::globalContext().allowTF32CuDNN(at::Float32Op::CONV), convolutions);
  EXPECT_EQ(at::get_num_threads(), threads);
  at::globalContext().setFloat32MatmulPrecision("highest");
}

// Of damaged weights: neither a curve of zeros nor a card with null.
TEST_F(DrawnScoring, ValuesThatAreNotFiniteAreRefused) {
  const auto code_of = [](const std::function<void()>& work) {
    try {
      work();
    } catch (const UserError& error) {
      return error.code();
    }
    return ExitCode::kDone;
  };
  auto config = of_clip();
  config.scores = {"aesthetic"};
  config.reference.clear();
  formats::save_safetensors(
      folder_ / "head.safetensors",
      {{"weight", at::full({1, testing::kTinyEmbedding}, NAN)}, {"bias", at::full({1}, 5.0)}});
  const DrawnScores of_head(config, at::kCPU);
  const auto rows = rows_of(of_head);
  EXPECT_EQ(code_of([&] { of_head.values(rows.rows, kNothing); }), ExitCode::kNumerics);
  EXPECT_EQ(code_of([&] {
              of_head.card({.values = {{"aesthetic", NAN}}}, {.hashes = rows.hashes});
            }),
            ExitCode::kNumerics);
  const auto weights = formats::load_safetensors(folder_ / "clip/model.safetensors").tensors;
  std::vector<formats::NamedTensor> damaged;
  for (const auto& [name, tensor] : weights)
    damaged.push_back({name, name == "text_projection.weight" ? at::full_like(tensor, NAN) : tensor});
  formats::save_safetensors(folder_ / "clip/model.safetensors", damaged);
  config.scores = {"clip"};
  config.aesthetic_head.clear();
  DrawnScores of_texts(config, at::kCPU);
  EXPECT_EQ(code_of([&] { of_texts.set_prompts(kPrompts, kNothing); }), ExitCode::kNumerics);
}

}  // namespace
}  // namespace pixart::score
