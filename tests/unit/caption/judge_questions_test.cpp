#include "judge_questions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "judge_compbench.h"
#include "scratch_folder.h"

namespace pixart::caption {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class JudgeQuestions : public pixart::testing::ScratchFolder {
 protected:
  static std::vector<std::string> texts_of(const QuestionSet& set) {
    std::vector<std::string> texts;
    for (const auto& own : set.questions) texts.push_back(own.text);
    return texts;
  }
  std::filesystem::path metadata(const std::string& group, const std::string& json) const {
    std::filesystem::create_directories(folder_ / group);
    return write(group + "/metadata.jsonl", json);
  }
  Problems problems_;
};

TEST_F(JudgeQuestions, GenEvalsMetadataBecomeQuestions) {
  metadata("00000", R"({"tag": "counting", "include": [{"class": "bus", "count": 3}],
                        "exclude": [{"class": "bus", "count": 4}], "prompt": "a photo of three buses"})");
  metadata("00001", R"({"tag": "position", "include": [{"class": "couch", "count": 1},
                        {"class": "apple", "count": 1, "color": "green", "position": ["left of", 0]}]})");
  const auto set = geneval_questions(folder_, {{0, "00000/samples/0000.png"}, {1, "00001/samples/0000.png"}},
                                     1, problems_);
  EXPECT_THAT(problems_.all(), IsEmpty());
  EXPECT_THAT(texts_of(set),
              ElementsAre("Is there a bus in the image?",
                          "Is the number of objects of the kind \"bus\" in the image exactly 3?",
                          "Is there a couch in the image?", "Is there an apple in the image?",
                          "Is the apple green?", "Is the apple to the left of the couch?"));
  EXPECT_THAT(set.questions[1].parents, ElementsAre(0));
  EXPECT_THAT(set.questions[5].parents, ElementsAre(3, 2));
  EXPECT_EQ(set.questions[5].category, "position");
}

TEST_F(JudgeQuestions, BadMetadataIsNamedAtOnce) {
  metadata("a", "{");
  metadata("b", R"({"tag": "x", "include": []})");
  metadata("c", R"({"tag": "x", "include": [{"class": "dog", "position": ["above", 7]}]})");
  metadata("d", std::string(100'000, '['));
  JudgedImages images;
  for (const char* group : {"a", "b", "c", "d", "none"})
    images.push_back({int64_t(images.size()), std::string(group) + "/samples/0.png"});
  geneval_questions(folder_, images, 1, problems_);
  EXPECT_EQ(problems_.all().size(), 5u);
}

TEST_F(JudgeQuestions, DpgsRowsFollowTheNamesOfImages) {
  const auto file =
      write("dpg.csv",
            "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,"
            "question_natural_language\n"
            "7,a cube,,1,0,entity,whole,entity - whole (cube),Is there a cube?\n"
            "7,a cube,,2,1,attribute,color,\"attribute - color (cube, red)\",\"Is the cube red, or so?\"\n"
            "8,none,,1,0,entity,whole,entity - whole (x),Is there an x?\n");
  const auto set = dpg_questions(file, {{0, "images/7.png"}}, 4, problems_);
  EXPECT_THAT(problems_.all(), IsEmpty());
  ASSERT_EQ(set.questions.size(), 8u) << "each part has both";
  EXPECT_EQ(set.items_without_image, 1);
  const Question& last = set.questions[7];
  EXPECT_EQ(last.text, "Is the cube red, or so?");
  EXPECT_EQ(last.part, 3);
  ASSERT_EQ(last.parents.size(), 1u);
  EXPECT_EQ(set.questions[last.parents[0]].part, 3);
  dpg_questions(file, {{0, "images/9.png"}}, 1, problems_);
  EXPECT_THAT(problems_.all(), ElementsAre(HasSubstr("has no item 9")));
}

TEST_F(JudgeQuestions, TheUsersOwn) {
  const auto file = write("own.jsonl", R"({"image": "a.png", "question": "Is it a dog?", "id": "dog"}
{"image": "a.png", "question": "Is it {question} red?", "depends": ["dog"], "category": "color"}
{"image": "missing.png", "question": "Is it?"}
)");
  const auto set = own_questions(file, {{4, "a.png"}}, 1, problems_);
  EXPECT_THAT(problems_.all(), IsEmpty());
  ASSERT_EQ(set.questions.size(), 2u);
  EXPECT_EQ(set.questions[1].id, "2");
  EXPECT_THAT(set.questions[1].parents, ElementsAre(0));
  EXPECT_EQ(set.items_without_image, 1);
  own_questions(
      write("bad.jsonl", "{\"image\": \"a.png\"}\nno\n{\"image\": \"a.png\", \"question\": \"\"}\n"),
      {{4, "a.png"}}, 1, problems_);
  EXPECT_EQ(problems_.all().size(), 3u);
}

TEST_F(JudgeQuestions, ValuesAreNotFilledAgain) {
  EXPECT_EQ(filled("{a} {b} {c} {", {{"a", "{b}"}, {"b", "x"}}), "{b} x {c} {");
}

TEST_F(JudgeQuestions, CompBenchAsksForPhrasesOrThePrompt) {
  JudgeOptions options;
  options.protocol = JudgeProtocol::kCompBench;
  options.phrases = write(
      "phrases.jsonl", R"({"prompt": "a red bus and a blue bowl", "chunks": ["a red bus", "a blue bowl"]})");
  const auto set = compbench_questions(options,
                                       {{0, "color/samples/a red bus and a blue bowl_000042.png"},
                                        {1, "complex/samples/{noun} on a mat_000000.png"}},
                                       problems_);
  EXPECT_THAT(problems_.all(), IsEmpty());
  ASSERT_EQ(set.questions.size(), 3u);
  EXPECT_THAT(set.questions[1].text,
              AllOf(HasSubstr("\"a blue bowl\""), HasSubstr("there is bowl, and its color is blue"),
                    Not(HasSubstr("{"))));
  EXPECT_THAT(set.questions[0].opening, HasSubstr("what color has each"));
  EXPECT_THAT(set.questions[2].text, HasSubstr("\"{noun} on a mat\"")) << "prompts are not templates";
  EXPECT_EQ(set.questions[2].category, "complex");
  EXPECT_EQ(set.attribute_scale.at(3), 75);
  EXPECT_EQ(set.scale.at(4), 80);
  compbench_questions(options,
                      {{0, "color/samples/an unknown thing_1.png"}, {1, "x/y_1.png"}, {2, "complex/z.png"}},
                      problems_);
  EXPECT_EQ(problems_.all().size(), 3u);
}

// In the form of the benchmark's program, with other words.
constexpr char kProgram[] = R"(
if args.cot:
    if args.category in ["color", "shape", "texture"]:
        prompt += f"Name the {args.category}. \
            Briefly. ASSISTANT:"
    elif args.category == "spatial" or args.category == "3d_spatial":
        prompt += "Name places. ASSISTANT:"
    prompt += outputs
for i in range(len(chunk)):
    if args.category in ["color", "shape", "texture"]:
        query = f"Is {chunk[i][0][0]} there? \n {chunk[i][1][0]} is \"{chunk[i][2][0]}\"."
    elif args.category in ["spatial", "3d_spatial"]:
        query = f"Does it show \"{file.split('.png')[0].split('_')[0]}\"?"
    query_prompt = prompt + f"USER: {query} ASSISTANT:"
)";

TEST_F(JudgeQuestions, TheBenchmarksWordingIsReadFromItsProgram) {
  const auto color = wording_of_program(kProgram, CompBenchPart::kColor);
  EXPECT_EQ(color.opening, "Name the {category}.             Briefly.");
  EXPECT_EQ(color.query, "Is {phrase} there? \n {noun} is \"{attribute}\".");
  const auto spatial = wording_of_program(kProgram, CompBenchPart::kSpatial3d);
  EXPECT_EQ(spatial.opening, "Name places.");
  EXPECT_EQ(spatial.query, "Does it show \"{prompt}\"?");
  EXPECT_THROW(wording_of_program(kProgram, CompBenchPart::kComplex), UserError);
  EXPECT_THROW(wording_of_program("", CompBenchPart::kColor), UserError);
}

}  // namespace
}  // namespace pixart::caption
