#include "pixart/convert/model_card.h"

#include "hub_license.h"
#include "markdown.h"
#include "pixart/base/file.h"
#include "pixart/convert/model_folder.h"
#include "scratch_folder.h"

namespace pixart::convert {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::refusal;
using ::testing::StartsWith;

constexpr const char* kEvil =
    "a|b\n---\n# x <script>alert(1)</script> [l](javascript:x) `c` --> \xff {{y}}: &";

CardModel pipeline() {
  CardModel model{.subject = CardSubject::kPipeline,
                  .summary = "PixArt-alpha, depth 2",
                  .dtype = "bfloat16",
                  .draws_captions = true};
  model.metadata = {{"pixart.license", "MIT"},
                    {"pixart.conversion", "from pixart"},
                    {"pixart.parents", R"([{"file":"ema.safetensors","sha256":"ab12"}])"},
                    {"pixart.process", R"({"prediction":"v"})"}};
  return model;
}

class ModelCard : public testing::ScratchFolder {
 protected:
  fs::path image(const std::string& name, const std::string& bytes) const {
    write(name, bytes);
    return folder_ / name;
  }
  fs::path made() const { return folder_ / "made"; }
  void write_card(const CardFacts& facts) const {
    fs::create_directories(made());
    write_model_card(made(), pipeline(), facts);
  }
};

TEST_F(ModelCard, HasTheFrontMatterOfTheHub) {
  EXPECT_THAT(
      model_card(pipeline(), {.base_model = "a/b"}),
      StartsWith(
          "---\nlicense: mit\nlibrary_name: diffusers\npipeline_tag: text-to-image\nbase_model: \"a/b\"\n"
          "tags:\n- pixart\n- diffusion\n- text-to-image\n---\n\n# "));
  CardModel dit = pipeline();
  dit.draws_captions = false;
  EXPECT_THAT(model_card(dit, {}), AllOf(Not(HasSubstr("text-to-image")), HasSubstr("class_labels")));
}

TEST_F(ModelCard, SaysWhatIsNotKnown) {
  const std::string card = model_card({}, {});
  for (const char* text : {"license: unknown", "The settings of the training are not known",
                           "The data of the training are not known", "No scores are known",
                           "Licence as stated: not known", "those files do not say it"})
    EXPECT_THAT(card, HasSubstr(text));
}

TEST_F(ModelCard, ShowsTheRunItsDataScoresAndOrigin) {
  CardFacts facts{.run_name = "demo"};
  facts.stages = {{"text", {{"steps", "30"}}}};
  facts.sources = {{.name = "web", .rows = 6000, .rejected = 7, .why = "7 missing_caption"},
                   {.name = "other"}};
  facts.scores = {{"text, step 30", {{"fid", 12.5}}, {{"resize", "clean"}}}};
  CardModel model = pipeline();
  model.of_source = {{"pixart.producer", "pixart 0.1.0"}, {"pixart.license", "CC-BY-NC-4.0"}};
  model.parts = {{"vae", {{"pixart.license", "Apache-2.0"}}}};
  const std::string card = model_card(model, facts);
  for (const char* text :
       {"# demo, stage text\n", "| steps | 30 |", "| web | 6,000 | 5,993 | 7 | 7 missing\\_caption |",
        "| other | not known | not known | 0 |", "| fid | 12.5 |", "| resize | clean |",
        "What the model predicts: v.\n", "| `ema.safetensors` | `ab12` |",
        "The files that they were made from: not known. Licence as stated: CC-BY-NC-4.0",
        "The part vae: not known. Licence as stated: Apache-2.0", "torch_dtype=torch.bfloat16"})
    EXPECT_THAT(card, HasSubstr(text));
}

TEST_F(ModelCard, WhatIsPredictedComesFirst) {
  CardModel model = pipeline();
  model.metadata["pixart.process"] = R"({"consistency":true,"prediction":"epsilon"})";
  EXPECT_THAT(model_card(model, {}), HasSubstr("What the model predicts: epsilon, consistency: true.\n"));
}

TEST_F(ModelCard, TextsOfUsersStayTexts) {
  CardFacts facts{
      .run_name = kEvil, .stages = {{kEvil, {{kEvil, kEvil}}}}, .sources = {{.name = kEvil, .why = kEvil}}};
  facts.scores = {{kEvil, {{kEvil, 1}}, {{kEvil, kEvil}}}};
  facts.samples = {{.file = {}, .text = kEvil}};
  CardModel model = pipeline();
  model.summary = kEvil;
  model.metadata = {{"pixart.license", kEvil}, {"pixart.conversion", kEvil}};
  model.metadata["pixart.parents"] = R"([{"file":"a|b`c\n<script>","sha256":3},7])";
  const std::string card = model_card(model, facts, {"samples/x.png"});
  // The front matter is YAML, which nobody renders: there the text is quoted.
  const std::string page = card.substr(card.find("\n---\n", 4));
  EXPECT_THAT(page, AllOf(Not(HasSubstr("<script>")), Not(HasSubstr("[l](")), Not(HasSubstr("\n# x"))));
  EXPECT_EQ(card.find("\n---\n", 4), card.rfind("\n---\n")) << "the front matter ends once";
  EXPECT_EQ(markdown("see www.a.b, WWW.c"), "see www\\.a.b, WWW\\.c") << "readers make links of these";
  EXPECT_EQ(markdown("a: b http://c :smile: d:"), "a: b http\\://c \\:smile: d\\:");
  EXPECT_EQ(markdown(": a"), "\\: a");
  EXPECT_TRUE(is_own_card(card));
  // Every row has the cells of its head: of two columns or of five.
  for (size_t at = card.find("\n| a\\|b"); at != std::string::npos; at = card.find("\n| a\\|b", at + 1)) {
    const std::string row = card.substr(at + 1, card.find('\n', at + 1) - at - 1);
    int64_t bars = 0;
    for (size_t i = 0; i < row.size(); ++i) bars += row[i] == '|' && (i == 0 || row[i - 1] != '\\') ? 1 : 0;
    EXPECT_TRUE(bars == 3 || bars == 6) << row;
    EXPECT_EQ(row.back(), '|') << row;
  }
}

TEST_F(ModelCard, ALicenceIsOneOfTheHubOrOther) {
  EXPECT_EQ(hub_license("Apache-2.0"), "license: apache-2.0\n");
  EXPECT_EQ(hub_license("not stated by the source"), "license: unknown\n");
  EXPECT_EQ(hub_license("CC-BY-NC-4.0 if \"published\"\nx: y"),
            "license: other\nlicense_name: \"CC-BY-NC-4.0 if \\\"published\\\" x: y\"\n");
}

TEST_F(ModelCard, ImagesAreCopiedUnderTheirHash) {
  const auto a = image("a.png", "first"), b = image("b.jpg", "second");
  write_card({.samples = {{a, "a red circle"}, {b, ""}}});
  const std::string card = read_file(made() / "README.md");
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(made() / "samples")) {
    EXPECT_TRUE(is_own_sample(entry.path()));
    EXPECT_THAT(card, HasSubstr("](samples/" + entry.path().filename().string() + ")"));
    found.push_back(read_file(entry.path()));
  }
  EXPECT_THAT(found, ::testing::UnorderedElementsAre("first", "second"));
  EXPECT_THAT(refusal([&] {
                write_card({.samples = {{image("x.svg", "<svg/>"), ""}}});
              }),
              HasSubstr("x.svg is not a .png"));
  EXPECT_THAT(refusal([&] {
                write_card({.samples = std::vector<CardSample>(9, CardSample{a, ""})});
              }),
              HasSubstr("at most 8"));
}

TEST_F(ModelCard, OnlyImagesAreShown) {
  EXPECT_NO_THROW(check_card_sample(image("a.png", "\x89PNG\r\n\x1a\nrest")));
  EXPECT_THAT(refusal([&] { check_card_sample(image("b.jpg", "words")); }), HasSubstr("b.jpg is not a PNG"));
  EXPECT_THAT(refusal([&] { check_card_sample(image("c.jpg", "GIF89a")); }), HasSubstr("c.jpg is not a PNG"));
  EXPECT_THAT(refusal([&] { check_card_sample(image("d.svg", "<svg/>")); }),
              HasSubstr("d.svg is not a .png"));
  EXPECT_THAT(refusal([&] { check_card_sample(folder_ / "none.png"); }), HasSubstr("none.png"));
}

// What nobody changed is the program's; the rest is the user's, and keeps the folder from being replaced.
TEST_F(ModelCard, WhatSomebodyChangedIsTheUsers) {
  write_card({.samples = {{image("a.png", "first"), ""}}});
  EXPECT_THAT(foreign_entries(made()), IsEmpty());
  const std::string card = read_file(made() / "README.md");
  const fs::path sample = fs::directory_iterator(made() / "samples")->path();
  for (const std::string& changed :
       {card + "x", "x" + card, card.substr(1), std::string(), std::string("# mine\n")}) {
    write("made/README.md", changed);
    EXPECT_THAT(foreign_entries(made()), ElementsAre("README.md"));
  }
  write("made/README.md", card);
  write("made/samples/" + sample.filename().string(), "another");
  write("made/samples/holiday.png", "first");
  EXPECT_THAT(foreign_entries(made()),
              ElementsAre("samples/holiday.png", "samples/" + sample.filename().string()));
}

TEST_F(ModelCard, NamesOfTheHub) {
  EXPECT_NO_THROW(check_hub_name("PixArt-alpha/PixArt-XL-2-512x512"));
  for (const char* name : {"", "a", "a/b/c", "a/b\nlicense: mit", "../b", "a/ b"})
    EXPECT_THAT(refusal([&] { check_hub_name(name); }), HasSubstr("owner/name")) << name;
}

}  // namespace
}  // namespace pixart::convert
