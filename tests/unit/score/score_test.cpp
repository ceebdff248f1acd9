// A whole score: folders of images, statistics, the card.
#include "pixart/score/score.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "formula_inception.h"
#include "images.h"
#include "inception.h"
#include "metrics.h"
#include "moments.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/npy.h"
#include "pixart/formats/tensor_file.h"
#include "scratch_folder.h"

namespace pixart::score {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Scoring : public testing::ScratchFolder {
 protected:
  // Folders "images" and "real", and weights by the formula.
  Scoring() {
    draw("images", {"a", "b", "c", "d", "e"}, 48);
    draw("real", {"p", "q", "r", "s", "t", "u"}, 64);
    std::vector<formats::NamedTensor> tensors;
    for (const auto& [name, tensor] : testing::formula_weights(inception_shapes()))
      tensors.push_back({name, tensor});
    formats::save_safetensors(folder_ / "weights.safetensors", tensors);
  }
  void draw(const std::string& folder, const std::vector<std::string>& names, int side) const {
    fs::create_directories(folder_ / folder / "inner");
    for (const auto& name : names)
      formats::save_png(folder_ / folder / (name == "c" ? "inner/c.png" : name + ".png"),
                        testing::formula_image(name, side, side + 8));
  }
  ScoreRequest request(std::vector<Metric> metrics) const {
    return {.metrics = std::move(metrics),
            .images = folder_ / "images",
            .reference = folder_ / "real",
            .weights = folder_ / "weights.safetensors",
            .batch_size = 4,
            .kid_subsets = 2,
            .splits = 2,
            .device = "cpu"};
  }
  at::Tensor features_of(const char* folder) const {
    const auto opened = open_inception(folder_ / "weights.safetensors", at::kCPU);
    std::vector<at::Tensor> rows;
    for_each_batch(open_images(folder_ / folder), ResizeRule::kClean, 2,
                   [&](const at::Tensor& batch) { rows.push_back(opened.network(batch).features); });
    return at::cat(rows);
  }
};

// The square of the distance between the means plus traces, as the oracle of the golden cases has it.
double exact_fid(const at::Tensor& first, const at::Tensor& second) {
  const at::Tensor x = first.to(at::kDouble), y = second.to(at::kDouble);
  const at::Tensor a = (x - x.mean(0)) / std::sqrt(double(x.size(0) - 1)),
                   b = (y - y.mean(0)) / std::sqrt(double(y.size(0) - 1));
  const at::Tensor roots = at::linalg_svdvals(at::matmul(a, b.t()));
  return ((x.mean(0) - y.mean(0)).square().sum() + a.square().sum() + b.square().sum() - 2 * roots.sum())
      .item<double>();
}

std::map<std::string, double> by_name(const ScoreResult& result) {
  return {result.values.begin(), result.values.end()};
}

// Also what a folder of pixart sample holds next to its images is not scored.
TEST_F(Scoring, GivesTheValuesOfTheFeatures) {
  const at::Tensor x = features_of("images"), y = features_of("real");
  write("images/sample.json",
        R"({"kind": "pixart sample, 1", "settings": {"sampler": "ddim", "model": "m"}})");
  formats::save_png(folder_ / "images/grid.png", testing::formula_image("grid", 9, 9));
  const auto result = score(request({Metric::kFid, Metric::kInceptionScore, Metric::kPrecisionRecall}));
  const auto values = by_name(result);
  const double fid = exact_fid(x, y);
  EXPECT_NEAR(values.at("fid"), fid, 1e-5 * fid);
  const auto both = precision_recall(x, y, 3);
  EXPECT_EQ(values.at("precision"), both.precision);
  EXPECT_EQ(values.at("recall"), both.recall);
  EXPECT_GE(values.at("inception_score"), 1);
  // Few images: KID is added, and the reason is said.
  const double kid = kernel_distance_of_all(x, y);
  EXPECT_NEAR(values.at("kid_all_pairs"), kid, 1e-5 * std::abs(kid));
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_THAT(result.notes[0], HasSubstr("FID is biased"));
  const auto card = json::parse(result.card);
  EXPECT_EQ(card["protocol"]["num_images"], 5);
  EXPECT_EQ(card["protocol"]["resize"], "clean");
  EXPECT_EQ(card["protocol"]["reference"]["num_images"], 6);
  EXPECT_EQ(card["protocol"]["sampling"], json({{"sampler", "ddim"}}));
  EXPECT_EQ(card["weights"]["published"], false);
  EXPECT_EQ(card["scores"]["fid"], values.at("fid"));
}

// An id may be "grid", and a suite has no grid of all images.
TEST_F(Scoring, AllImagesOfASuiteCount) {
  const auto list_of = [&](const char* settings) {
    write("images/sample.json", fmt::format(R"({{"kind": "pixart sample, 1", "settings": {}}})", settings));
    return open_images(folder_ / "images");
  };
  formats::save_png(folder_ / "images/grid.png", testing::formula_image("grid", 9, 9));
  const auto list = list_of(R"({"suite": "jsonl", "tile_size": "64", "process": "flow", "model": "m"})");
  EXPECT_EQ(list.size, 6);
  EXPECT_EQ(json::parse(list.sampling), json({{"suite", "jsonl"}, {"tile_size", "64"}, {"process", "flow"}}));
  EXPECT_EQ(list_of(R"({"model": "m"})").size, 5);
}

TEST_F(Scoring, StoredStatisticsGiveTheSame) {
  const auto file = folder_ / "real.npz";
  auto saving = request({});
  saving.images = folder_ / "real";
  saving.reference.clear();
  saving.save_statistics = file;
  score(saving);
  auto asked = request({Metric::kFid});
  const auto direct = score(asked);
  asked.reference = file;
  const auto stored = score(asked);
  EXPECT_NEAR(by_name(stored).at("fid"), by_name(direct).at("fid"), 1e-9 * by_name(direct).at("fid"));
  const auto protocol = compare_cards(direct.card, "direct", stored.card, "stored").protocol;
  EXPECT_TRUE(protocol.empty()) << protocol[0].name << " " << protocol[0].first << " " << protocol[0].second;
  asked.resize = ResizeRule::kPytorch;
  EXPECT_THAT(testing::refusal([&] { score(asked); }), HasSubstr("resize rule clean"));
}

TEST_F(Scoring, NamesAllImagesThatCannotBeRead) {
  write("images/b.png", "no image");
  fs::resize_file(folder_ / "images/inner/c.png", 100);
  EXPECT_THAT(testing::refusal([&] { score(request({Metric::kFid})); }),
              AllOf(HasSubstr("b.png"), HasSubstr("c.png"), Not(HasSubstr("a.png"))));
}

TEST_F(Scoring, NamesAllProblemsOfARequest) {
  formats::save_npz(folder_ / "part.npz",
                    {{"mu", at::zeros({2048}, at::kDouble)}, {"sigma", at::eye(2048, at::kDouble)}});
  auto asked = request({Metric::kSfid, Metric::kKid});
  asked.images = folder_ / "none";
  asked.reference = folder_ / "part.npz";
  asked.weights = folder_ / "none.pth";
  EXPECT_THAT(testing::refusal([&] { score(asked); }),
              AllOf(HasSubstr("none"), HasSubstr("which sfid needs"), HasSubstr("which kid needs"),
                    HasSubstr("none.pth does not exist")));
}

// The hash of a set is of its pixels.
TEST_F(Scoring, HashesPixels) {
  const auto hash_of = [](const ImageList& list) {
    return for_each_batch(list, ResizeRule::kPytorch, 3, [](const at::Tensor&) {});
  };
  const auto list = open_images(folder_ / "images");
  auto backwards = list;
  backwards.read = [&](int64_t i) { return list.read(list.size - 1 - i); };
  EXPECT_EQ(hash_of(backwards), hash_of(list));
  EXPECT_NE(hash_of(first_images(list, 4)), hash_of(list));
  const at::Tensor bytes = at::arange(2 * 4 * 5 * 3).to(at::kByte).reshape({2, 4, 5, 3});
  const auto of_array = images_of(bytes, "array");
  EXPECT_EQ(of_array.read(1).at(3, 4)[2], 119);
  EXPECT_EQ(of_array.size, 2);
}

}  // namespace
}  // namespace pixart::score
