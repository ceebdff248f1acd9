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
  // As pixart sample writes them: the record, and the text of an image of it.
  void record(const std::string& folder, int prompts, json more = json::object()) const {
    json settings = {{"prompts", std::to_string(prompts)}, {"count", "1"}};
    settings.update(common_text());
    settings.update(more);
    write(folder + "/sample.json", json{{"kind", "pixart sample, 1"}, {"settings", settings}}.dump());
  }
  static json common_text() {
    return {{"sampler", "ddim"}, {"model_sha256", "ab"}, {"seed", "7"}, {"height", "48"}, {"width", "56"}};
  }
  void draw_of_record(const std::string& path, int index, json more = json::object()) const {
    auto text = common_text();
    text["prompt"] = "p";
    text["index"] = std::to_string(index);
    text.update(more);
    formats::save_png(folder_ / path, testing::formula_image(path, 48, 56),
                      text.get<std::map<std::string, std::string>>());
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

TEST_F(Scoring, GivesTheValuesOfTheFeatures) {
  const at::Tensor x = features_of("images"), y = features_of("real");
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
  EXPECT_FALSE(card["protocol"].contains("sampling"));
  EXPECT_EQ(card["weights"]["published"], false);
  EXPECT_EQ(card["scores"]["fid"], values.at("fid"));
}

// An id may be "grid", and a suite has no grid of all images.
TEST_F(Scoring, AllImagesOfASuiteCount) {
  const json flow = {{"process", "flow"}};
  fs::create_directories(folder_ / "drawn/inner");
  draw_of_record("drawn/a.png", 1, flow);
  draw_of_record("drawn/inner/b.png", 2, flow);
  draw_of_record("drawn/grid.png", 0,
                 {{"process", "flow"}, {"seed", "1"}, {"height", "9"}});  // its own seed and size
  record("drawn", 3, {{"suite", "jsonl"}, {"process", "flow"}, {"device", "cpu"}});
  const auto list = open_images(folder_ / "drawn");
  EXPECT_EQ(list.size, 3);
  EXPECT_EQ(list.note, "");
  json want = common_text();
  want.erase("model_sha256");
  want.update({{"prompts", "3"}, {"count", "1"}, {"suite", "jsonl"}, {"process", "flow"}});
  EXPECT_EQ(json::parse(list.sampling), want);
  record("drawn", 2, flow);
  const auto without_grid = open_images(folder_ / "drawn");
  EXPECT_EQ(without_grid.size, 2);
  EXPECT_EQ(without_grid.note, "");
}

// A card must not say of images that they were drawn in a way in which they were not.
TEST_F(Scoring, SettingsAreOnlyToldOfExactlyTheImagesOfTheRecord) {
  const fs::path drawn = folder_ / "drawn";
  fs::create_directories(drawn);
  const auto note_with = [&](int prompts) {
    record("drawn", prompts);
    const auto list = open_images(drawn);
    EXPECT_EQ(list.sampling.empty(), !list.note.empty());
    return list.note;
  };
  for (const int i : {0, 1, 2}) draw_of_record(fmt::format("drawn/{:04}.png", i), i);
  EXPECT_EQ(note_with(3), "");
  EXPECT_THAT(note_with(4), HasSubstr("there are 3 of them, and sample.json is of 4")) << "a killed call";
  EXPECT_THAT(note_with(2), HasSubstr("there are 3 of them, and sample.json is of 2"))
      << "of an earlier call";
  for (const json& other : {json{{"sampler", "euler"}}, json{{"seed", "8"}}, json{{"process", "flow"}},
                            json{{"precision", "bfloat16"}}, json{{"height", "24"}},
                            json{{"tile_size", "32"}}, json{{"model_sha256", "cd"}}}) {
    draw_of_record("drawn/0002.png", 2, other);
    EXPECT_THAT(note_with(3),
                HasSubstr("1 of 3 were not drawn with the settings of sample.json, which is of 3: 0002.png"));
  }
  json many = json::object();
  for (int i = 0; i < 1'000; ++i) many["setting " + std::to_string(i)] = "";
  record("drawn", 3, many);
  EXPECT_TRUE(open_images(drawn).sampling.empty()) << "no record of ours";
  draw_of_record("drawn/0002.png", 1);
  EXPECT_THAT(note_with(3), HasSubstr("some of them are there twice"));
  formats::save_png(drawn / "0002.png", testing::formula_image("mine", 9, 9));
  auto asked = request({Metric::kInceptionScore});
  asked.images = drawn;
  asked.reference.clear();
  const auto result = score(asked);
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_THAT(result.notes[0],
              AllOf(HasSubstr("The card does not say how"), HasSubstr("1 of 3"), HasSubstr("0002.png")));
  EXPECT_FALSE(json::parse(result.card)["protocol"].contains("sampling"));
  draw_of_record("drawn/0002.png", 2);
  const auto whole = score(asked);
  EXPECT_TRUE(whole.notes.empty());
  EXPECT_EQ(json::parse(whole.card)["protocol"]["sampling"]["sampler"], "ddim");
}

// DPG-Bench: a file shows several images.
TEST_F(Scoring, AFileMayHaveSeveralImagesOfTheRecord) {
  fs::create_directories(folder_ / "drawn");
  for (const int i : {1, 2}) draw_of_record(fmt::format("drawn/{}.png", i), i, {{"images", "4"}});
  record("drawn", 2, {{"count", "4"}, {"suite", "dpg"}});
  EXPECT_EQ(open_images(folder_ / "drawn").note, "");
  record("drawn", 2, {{"count", "2"}, {"suite", "dpg"}});
  EXPECT_THAT(open_images(folder_ / "drawn").note, HasSubstr("there are 8 of them, and sample.json is of 4"));
}

TEST_F(Scoring, SaysThatThereAreFewerImagesThanAskedFor) {
  auto asked = request({Metric::kInceptionScore});
  asked.reference.clear();
  asked.num_images = 50000;
  const auto few = score(asked);
  ASSERT_EQ(few.notes.size(), 1u);
  EXPECT_THAT(few.notes[0], AllOf(HasSubstr("--num-images is 50000"), HasSubstr("only 5 images")));
  EXPECT_EQ(json::parse(few.card)["notes"], json(few.notes));
  asked.num_images = 5;
  EXPECT_TRUE(score(asked).notes.empty());
  formats::save_npz(folder_ / "all.npz",
                    {{"mu", at::zeros({2048}, at::kDouble)}, {"sigma", at::eye(2048, at::kDouble)}});
  asked.metrics = {Metric::kFid};
  asked.images = asked.reference = folder_ / "all.npz";
  EXPECT_THAT(testing::refusal([&] { score(asked); }), HasSubstr("--num-images cannot choose some of them"));
}

// What cannot be written is told before hours of work.
TEST_F(Scoring, TriesTheFileOfStatisticsBeforeAnImageIsRead) {
  write("images/b.png", "no image");
  write("blocked", "a file");
  auto saving = request({});
  saving.reference.clear();
  saving.save_statistics = folder_ / "blocked/more/images.npz";
  try {
    score(saving);
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("blocked"), Not(HasSubstr("b.png"))));
  }
  saving.save_statistics = folder_ / "new/deep/images.npz";
  EXPECT_THAT(testing::refusal([&] { score(saving); }), HasSubstr("b.png"));
  EXPECT_FALSE(fs::exists(folder_ / "new")) << "nothing of the trial stays";
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
  write("images/d.png", "");  // which the listing rejects already
  EXPECT_THAT(testing::refusal([&] { score(request({Metric::kFid})); }),
              AllOf(HasSubstr("3 problems\n  - b.png"), HasSubstr("c.png"), HasSubstr("d.png"),
                    Not(HasSubstr("a.png"))));
}

TEST_F(Scoring, SaysWhichSideHasTooFewImages) {
  draw("one", {"a"}, 48);
  auto asked = request({Metric::kFid});
  asked.images = asked.reference = folder_ / "one";
  const std::string one = (folder_ / "one").string();
  EXPECT_THAT(testing::refusal([&] { score(asked); }),
              AllOf(HasSubstr("- " + one + " has 1 image; fid needs at least 2"),
                    HasSubstr("- the reference " + one + " has 1 image; fid needs at least 2")));
  asked.images = asked.reference = folder_ / "none";
  const auto refusal = testing::refusal([&] { score(asked); });
  EXPECT_THAT(refusal, Not(HasSubstr("problems"))) << "the same fault of both is told once";
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
