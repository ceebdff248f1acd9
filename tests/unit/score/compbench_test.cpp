// T2I-CompBench: golden kind compbench, the files that are read, and the answers that a restart keeps.
#include "pixart/score/compbench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "compbench_inputs.h"
#include "compbench_ledger.h"
#include "compbench_rules.h"
#include "many_keys.h"
#include "pixart/base/file.h"
#include "scratch_folder.h"

namespace pixart::score {
namespace {
namespace fs = std::filesystem;

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

json golden() {
  const char* folder = std::getenv("PIXART_GOLDEN_DIR");
  if (folder == nullptr) throw std::runtime_error("PIXART_GOLDEN_DIR is not set");
  return json::parse(read_file(fs::path(folder) / "compbench/recorded/case.json")).at("config");
}

std::vector<Box> boxes_of(const json& rows) {
  std::vector<Box> boxes;
  for (const auto& row : rows) boxes.push_back({row.at("label"), row.at("score"), row.at("box")});
  return boxes;
}

TEST(CompBench, GoldenSums) {
  const json config = golden();
  std::vector<double> attributes, spatial, together;
  for (const auto& row : config.at("attributes")) {
    attributes.push_back(product_of_answers(row.at("answers")));
    EXPECT_EQ(attributes.back(), row.at("score").get<double>()) << row;
  }
  for (const auto& row : config.at("spatial")) {
    spatial.push_back(spatial_score(row.at("prompt"), TwoObjects{"dog", "cup"}, boxes_of(row.at("boxes"))));
    EXPECT_EQ(spatial.back(), row.at("score").get<double>()) << row;
  }
  const std::map<std::string, ComplexKind> kinds = {
      {"spatial", ComplexKind::kSpatial}, {"action", ComplexKind::kAction}, {"both", ComplexKind::kBoth}};
  for (const auto& row : config.at("complex")) {
    together.push_back(
        three_in_one(kinds.at(row.at("kind")), row.at("attributes"), row.at("spatial"), row.at("action")));
    EXPECT_EQ(together.back(), row.at("score").get<double>()) << row;
  }
  ASSERT_GT(spatial.size(), 60u);
  EXPECT_EQ(mean_of(attributes), config.at("means").at("attributes").get<double>());
  EXPECT_EQ(mean_of(spatial), config.at("means").at("spatial").get<double>());
  EXPECT_EQ(mean_of(together), config.at("means").at("complex").get<double>());
}

TEST(CompBench, QuestionsLeaveOutPlaces) {
  EXPECT_THAT(questions_of({"The cat", "top", "the side", "the left", "the right", "The top", "a mat"}),
              ElementsAre("The cat", "The top", "a mat"));
  EXPECT_EQ(questions_of(std::vector<std::string>(12, "a cat")).size(), 8u);
}

TEST(CompBench, TheFirstRelationOfTheListCounts) {
  EXPECT_EQ(relation_of("a cup on the top of a table near a dog"), "near");
  EXPECT_EQ(relation_of("a cup on top of a table"), "on top of");
  EXPECT_EQ(relation_of("a cup and a table"), "");
}

TEST(CompBench, PeopleHaveOneLabel) {
  const std::vector<Box> boxes = {{"person", 0.9, {0, 0, 10, 10}}, {"cup", 0.9, {20, 0, 30, 10}}};
  EXPECT_DOUBLE_EQ(spatial_score("a woman on the left of a cup", TwoObjects{"woman", "cup"}, boxes), 0.95);
  EXPECT_EQ(spatial_score("a woman on the right of a cup", TwoObjects{"woman", "cup"}, boxes), 0);
  EXPECT_EQ(spatial_score("a woman near a cup", std::nullopt, boxes), 0);
  const Box empty = {"dot", 1, {5, 5, 5, 5}};
  EXPECT_EQ(relation_score("on the left of", empty, empty), 0) << "no area, no quotient";
}

class CompBenchFiles : public testing::ScratchFolder {
 protected:
  void write(const std::string& name, const std::string& text) const {
    create_folders((folder_ / name).parent_path());
    write_file_atomically(folder_ / name, text);
  }
  CompBenchRequest request() const {
    return {.images = folder_ / "images", .prompts = folder_ / "dataset", .images_per_prompt = 2};
  }
  void write_colors() const {
    write("dataset/color_val.txt", "a red cat and a blue dog.\n\na green cup\n");
    for (const char* name : {"a red cat and a blue dog._000000", "a red cat and a blue dog_000001",
                             "a green cup_000002", "a green cup_000003"})
      write(std::string("images/color/samples/") + name + ".png", name);
  }
  static std::string answer(const std::string& image, const std::string& question, double value) {
    return json{{"image", image}, {"question", question}, {"answer", value}}.dump() + "\n";
  }
  std::string refusal(const CompBenchRequest& asked) const {
    try {
      score_compbench(asked);
    } catch (const UserError& failure) {
      return failure.what();
    }
    return "no refusal";
  }
};

TEST_F(CompBenchFiles, RecordedAnswersGiveTheMeanOfTheirProducts) {
  write_colors();
  write("answers.jsonl",
        answer("a red cat and a blue dog._000000.png", "a red cat?", 0.5) +
            answer("a red cat and a blue dog._000000.png", "a blue dog?", 0.25) +
            answer("color/samples/a red cat and a blue dog_000001.png", "a red cat?", 1) +
            answer("color/samples/a red cat and a blue dog_000001.png", "a blue dog?", 0.33335) +
            answer("a green cup_000002.png", "a green cup?", 0) +
            answer("a green cup_000003.png", "a green cup?", 1));
  auto asked = request();
  asked.answers = folder_ / "answers.jsonl";
  const auto result = score_compbench(asked);
  ASSERT_EQ(result.values.size(), 1u);
  EXPECT_EQ(result.values[0].first, "compbench_color");
  EXPECT_DOUBLE_EQ(result.values[0].second, (0.125 + rounded_to_4(0.33335) + 0 + 1) / 4);
  const auto stored = json::parse(read_file(folder_ / "images/color/annotation_blip/vqa_result.json"));
  EXPECT_EQ(stored.at(0), (json{{"question_id", 0}, {"answer", "0.1250"}}));
  const auto second = json::parse(read_file(folder_ / "images/color/annotation2_blip/vqa_test.json"));
  EXPECT_EQ(second.at(0).at("question"), "a blue dog?");
  EXPECT_EQ(second.at(2).at("question"), "") << "a green cup has one chunk";
  const auto card = json::parse(result.card);
  EXPECT_EQ(card.at("kind"), "pixart score, 1");
  EXPECT_EQ(card.at("protocol").at("images_per_prompt"), 2);
  EXPECT_THAT(result.notes.back(), HasSubstr("the benchmark has 10"));
}

TEST_F(CompBenchFiles, AllProblemsAreNamed) {
  write_colors();
  write("images/color/samples/a green cup_000009.png", "");
  write("images/color/samples/a green cup.png", "");
  fs::rename(folder_ / "images/color/samples/a green cup_000003.png",
             folder_ / "images/color/samples/a blue cup_000003.png");
  write("answers.jsonl", answer("a green cup_000002.png", "a green cup?", 1.5) + "no json\n");
  auto asked = request();
  asked.categories = {CompBenchCategory::kColor, CompBenchCategory::kSpatial};
  asked.answers = folder_ / "answers.jsonl";
  EXPECT_THAT(refusal(asked),
              AllOf(HasSubstr("spatial need the boxes"), HasSubstr("a green cup_000009.png"),
                    HasSubstr("a green cup.png"), HasSubstr("its number belongs to \"a green cup\""),
                    HasSubstr("spatial_val.txt"), HasSubstr("'answer' is not a number from 0 to 1"),
                    HasSubstr("answers.jsonl line 2"), HasSubstr("lacks 5 answers")));
}

TEST_F(CompBenchFiles, AQuestionsFileOverridesTheChunks) {
  write_colors();
  write(
      "questions.jsonl",
      R"({"category": "color", "prompt": "a red cat and a blue dog", "chunks": ["a red cat and a blue dog", "top"]})"
      "\n");
  Problems problems;
  auto prompts = read_category(folder_ / "dataset", CompBenchCategory::kColor, problems);
  fill_parts(text::NounChunker(), nullptr, prompts);
  take_questions(read_questions(folder_ / "questions.jsonl", problems), prompts, problems);
  EXPECT_THAT(prompts.parts[0].questions, ElementsAre("a red cat and a blue dog"));
  ASSERT_EQ(problems.all().size(), 1u);
  EXPECT_THAT(problems.all()[0], HasSubstr("lacks 1 prompts of color: a green cup"));
}

TEST_F(CompBenchFiles, SpatialScoresOfBoxes) {
  write("dataset/spatial_val.txt", "a dog on the left of a cup\n");
  for (const char* number : {"0", "1"})
    write(std::string("images/spatial/samples/a dog on the left of a cup_00000") + number + ".png", "");
  const auto row = [](int number, double x) {
    return json{{"image", "a dog on the left of a cup_00000" + std::to_string(number) + ".png"},
                {"objects",
                 {{{"label", "dog"}, {"score", 1}, {"box", {x, 0, x + 10, 10}}},
                  {{"label", "cup"}, {"score", 1}, {"box", {50, 0, 60, 10}}}}}}
               .dump() +
           "\n";
  };
  write("boxes.jsonl", row(0, 0) + row(1, 100));
  auto asked = request();
  asked.boxes = folder_ / "boxes.jsonl";
  EXPECT_EQ(score_compbench(asked).values[0].second, 0.75) << "the second image keeps confidence, 0.5, only";
  write("boxes.jsonl", row(0, 0));
  EXPECT_THAT(refusal(asked), HasSubstr("lacks 1 images"));
}

TEST_F(CompBenchFiles, ComplexPromptsHaveTheirLists) {
  write("dataset/complex_val.txt",
        "The Cat is on top of the mat.\nThe cat chases the dog.\nThe cat is near the dog\n");
  write("dataset/complex_val_spatial.txt", "the cat is on top of the mat\n");
  write("dataset/complex_val_action.txt", "The cat chases the dog.\n");
  Problems problems;
  const auto prompts = read_category(folder_ / "dataset", CompBenchCategory::kComplex, problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_THAT(prompts.kinds, ElementsAre(ComplexKind::kSpatial, ComplexKind::kAction, ComplexKind::kBoth));
  const text::NounChunker chunker;
  const auto objects = objects_around_relation(prompts.prompts[0], chunker.words(prompts.prompts[0]));
  ASSERT_TRUE(objects);
  EXPECT_EQ(objects->first + " " + objects->second, "Cat mat");
  EXPECT_FALSE(objects_around_relation(prompts.prompts[1], chunker.words(prompts.prompts[1])));
}

// One letter for each word: n(oun), N(ame), o(ther).
std::string objects_of_classes(const std::string& prompt, const std::string& classes) {
  std::vector<text::PromptWord> words;
  size_t at = 0;
  std::istringstream stream(prompt);
  for (std::string word; stream >> word;) {
    const char kind = classes[words.size()];
    words.push_back({.text = word,
                     .begin = at,
                     .word_class = kind == 'n'   ? text::WordClass::kNoun
                                   : kind == 'N' ? text::WordClass::kProperNoun
                                                 : text::WordClass::kOther});
    at += word.size() + 1;
  }
  const auto objects = objects_around_relation(prompt, words);
  return objects ? objects->first + " " + objects->second : "";
}

TEST(CompBenchRules, NamesAreObjectsAsInTheBenchmark) {
  EXPECT_EQ(objects_of_classes("a cat Tom near Big Ben .", "onNoNNo"), "Tom Ben")
      << "the last word of a name";
  EXPECT_EQ(objects_of_classes("a cat near Big Ben or a dog", "onoNNoon"), "cat dog") << "nouns come first";
  EXPECT_EQ(objects_of_classes("a cat near Big Ben", "onoNN"), "") << "a name at the very end is not found";
}

TEST_F(CompBenchFiles, TheLedgerKeepsAnswersOfOneModel) {
  const fs::path file = folder_ / "answers.jsonl";
  const AskedImage asked{"color/samples/a.png", "aa", "a cat?"};
  {
    AnswerLedger ledger(file, R"({"weights": "w"})");
    EXPECT_EQ(ledger.find(asked), nullptr);
    ledger.add({asked}, {0.75});
  }
  append_to_file(file, R"({"image": "torn)");
  AnswerLedger again(file, R"({"weights": "w"})");
  ASSERT_NE(again.find(asked), nullptr);
  EXPECT_EQ(*again.find(asked), 0.75);
  EXPECT_EQ(again.find({asked.image, "other content", asked.question}), nullptr);
  EXPECT_THAT(read_file(file), Not(HasSubstr("torn")));
  EXPECT_THROW(AnswerLedger(file, R"({"weights": "v"})"), UserError);
  const std::string good = read_file(file);
  for (const std::string& line : {std::string("{}"), "{" + testing::many_keys() + "}"}) {
    append_to_file(file, line + "\n");
    EXPECT_THAT(testing::refusal([&] { AnswerLedger(file, R"({"weights": "w"})"); }),
                HasSubstr("line 3 is not an answer"));
    write_file_atomically(file, good);
  }
}

}  // namespace
}  // namespace pixart::score
