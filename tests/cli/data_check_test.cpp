// pixart data check, as a user would give it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class DataCheck : public ::testing::Test {
 protected:
  DataCheck() {
    fs::create_directories(folder_ / "images");
    for (int i = 0; i < 20; ++i) {
      const fs::path stem = folder_ / "images" / fmt::format("{:02}", i);
      formats::save_png(stem.string() + ".png", Image(30 + i, 40, uint8_t(i)));
      write_text(stem.string() + ".txt", fmt::format("a gray image, number {}", i % 10));
    }
  }
  ProcessResult check(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"data", "check"});
    return run_pixart(arguments, folder_.path());
  }
  void spoil() const {
    write_text(folder_ / "images/03.png", "%PDF-1.7");
    write_text(folder_ / "images/11.png", "");
  }
  // Output ends with the JSON; progress comes before it.
  static nlohmann::json json_of(const ProcessResult& result) {
    const size_t begin = result.output.find("[\n");
    if (begin == std::string::npos) return {};
    return nlohmann::json::parse(result.output.substr(begin));
  }
  TemporaryFolder folder_;
};

TEST_F(DataCheck, AFolderOfImages) {
  const auto result = check({"images"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("images: 20 of 20 samples accepted"),
                                   HasSubstr("height 30 ... 40 ... 49"), HasSubstr("20, 10 distinct"),
                                   HasSubstr("example    00.png (40 x 30): a gray image, number 0"),
                                   Not(HasSubstr("rejected")), Not(HasSubstr("tokens"))));
}

TEST_F(DataCheck, CaptionsOfSeveralLinesAreWholeAndShownOnOneLine) {
  write_text(folder_ / "images/00.txt", "The picture shows a ball.\n\nThere is a hill.\n");
  auto result = check({"images"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              HasSubstr("00.png (40 x 30): The picture shows a ball.\\n\\nThere is a hill.\n"));
  result = check({"images", "--set", "caption_lines=first"});
  EXPECT_THAT(result.output, HasSubstr("00.png (40 x 30): The picture shows a ball.\n"));
}

TEST_F(DataCheck, OpeningsThatManyCaptionsShareAreNamed) {
  std::string lines;
  for (int i = 0; i < 20; ++i)
    lines += fmt::format(R"({{"key": "{0:02}.png", "caption": "{1}thing {0} on a lawn"}})"
                         "\n",
                         i, i < 15 ? "Here is a description of the image:\\n\\n" : "");
  write_text(folder_ / "long.jsonl", lines);
  const auto set = std::vector<std::string>{"images", "--set",
                                            "captions=[{name: caption}, {name: long, from: long.jsonl}]"};
  auto result = check(set);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(
      result.output,
      AllOf(HasSubstr("  warning    long: 15 of 20 captions (75.0 %) begin with \"Here is a description of "
                      "the image:\", as 00.png does. They look left over"),
            HasSubstr("  warning    caption: 20 of 20 captions (100.0 %) begin with \"a gray image,")));
  auto arguments = set;
  arguments.push_back("--json");
  result = check(arguments);
  const auto report = json_of(result).at(0);
  const auto& openings = report["captions"]["long"]["openings"];
  ASSERT_EQ(openings.size(), 1u) << result.output;
  EXPECT_EQ(openings[0]["opening"], "Here is a description of the image:");
  EXPECT_EQ(openings[0]["captions"], 15);
  EXPECT_EQ(openings[0]["share"], 0.75);
  EXPECT_EQ(openings[0]["warning"], true);
}

TEST_F(DataCheck, FoldersWithSplitsAreTablesOfWhichOneIsAsked) {
  for (const std::string split : {"test", "train"}) {
    fs::create_directories(folder_ / "set" / split);
    for (const char* name : {"0.png", "1.png"})
      fs::copy(folder_ / "images" / (std::string("0") + name), folder_ / "set" / split / name);
    write_text(folder_ / "set" / split / "metadata.jsonl",
               "{\"file_name\": \"0.png\", \"text\": \"" + split +
                   " picture\", \"score\": NaN}\n{\"file_name\": \"1.png\", \"text\": [\"" + split +
                   " one\", \"two\"]}\r\n");
  }
  const auto refused = check({"set"});
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("several splits (test, train)"));
  const auto result = check({"set/*/metadata.jsonl"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("metadata: 4 of 4 samples accepted"), HasSubstr("caption    6, 5 distinct"),
                    HasSubstr("test/0.png (40 x 30): test picture"), HasSubstr("train/0.png")));
}

TEST_F(DataCheck, PathsInTheHomeFolder) {
  const auto home = environment_variable("HOME").value_or("");
  set_environment_variable("HOME", folder_.path().c_str());
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"~/images"}, {"images", "--set", "path=~/images"}}) {
    const auto result = check(arguments);
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output, HasSubstr("20 of 20 samples accepted"));
  }
  set_environment_variable("HOME", home.c_str());
}

TEST_F(DataCheck, BadSamplesAreNamedAndTheBudgetDecidesTheExitCode) {
  spoil();
  auto result = check({"images"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("18 of 20 samples accepted"), HasSubstr("1 empty_file"),
                                   HasSubstr("1 not_a_picture"), HasSubstr("rejected   03.png"),
                                   HasSubstr("rejected   11.png"), HasSubstr("quarantine_budget = 0.001")));
  result = check({"images", "--set", "quarantine_budget=0.1"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("18 of 20 samples accepted"));
}

TEST_F(DataCheck, JsonIsOneDocumentAlsoWithBadSamples) {
  fs::copy(folder_ / "images/05.png", folder_ / "images/same.png");
  write_text(folder_ / "images/same.txt", "ä \"quoted\"\\caption");
  spoil();
  const auto result = check({"images", "--json", "--examples", "2"});
  EXPECT_EQ(result.code, 78);
  const auto report = json_of(result).at(0);
  EXPECT_EQ(report["source"], "images");
  EXPECT_EQ(report["listed"], 21);
  EXPECT_EQ(report["accepted"], 19);
  EXPECT_EQ(report["rejected"], nlohmann::json({{"empty_file", 1}, {"not_a_picture", 1}}));
  EXPECT_EQ(report["width"], nlohmann::json({40, 40, 40}));
  EXPECT_EQ(report["captions"]["caption"]["captions"], 19);
  EXPECT_EQ(report["duplicates"], nlohmann::json::array({{"05.png", "same.png"}}));
  EXPECT_EQ(report["examples"].size(), 2);
  int64_t in_buckets = 0;
  for (const auto& count : report["aspects"]) in_buckets += count.get<int64_t>();
  EXPECT_EQ(in_buckets, 19);
}

TEST_F(DataCheck, QuarantineFile) {
  spoil();
  const auto result = check({"images", "--quarantine", "bad.jsonl"});
  EXPECT_EQ(result.code, 78);
  std::ifstream stream(folder_ / "bad.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines[0]["row"], 3);
  EXPECT_EQ(lines[0]["reason"], "not_a_picture");
  EXPECT_EQ(lines[1]["source"], "images");
  EXPECT_EQ(lines[1]["key"], "11.png");
  EXPECT_EQ(lines[1]["offset"], 0);
  EXPECT_EQ(check({"images", "--quarantine", "no/such/folder.jsonl"}).code, 74);
}

TEST_F(DataCheck, TheFileOfAUserIsNoQuarantineFile) {
  write_text(folder_ / "notes.jsonl", "mine\n");
  const auto refused = check({"images", "--quarantine", "notes.jsonl"});
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, AllOf(HasSubstr("notes.jsonl is there and is not a quarantine file"),
                                    Not(HasSubstr("samples accepted"))));
  EXPECT_EQ(read_file(folder_ / "notes.jsonl"), "mine\n");
  spoil();
  fs::create_symlink("real.jsonl", folder_ / "link.jsonl");
  for (int i = 0; i < 2; ++i) {
    const auto result = check({"images", "--set", "quarantine_budget=0.1", "--quarantine", "link.jsonl"});
    EXPECT_EQ(result.code, 0) << result.output;
  }
  EXPECT_TRUE(fs::is_symlink(folder_ / "link.jsonl"));
  EXPECT_THAT(read_file(folder_ / "real.jsonl"), HasSubstr("empty_file"));
}

TEST_F(DataCheck, KeysOfTheSource) {
  EXPECT_THAT(check({"images", "--set", "max_samples=7"}).output, HasSubstr("7 of 7 samples accepted"));
  fs::remove(folder_ / "images/04.txt");
  auto result = check({"images"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("04.png"), HasSubstr("missing_caption")));
  result = check({"images", "--set", "missing_caption=skip", "--set", "missing_caption_share=0.1"});
  EXPECT_EQ(result.code, 0) << result.output;  // has a limit of its own
  EXPECT_THAT(result.output, HasSubstr("19 of 20 samples accepted; rejected: 1 missing_caption"));
  result = check({"images", "--set", "missing_captoin=skip"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("Did you mean 'missing_caption'"));
}

TEST_F(DataCheck, WrongWordsGetTheNearestOne) {
  const auto result = check({"images", "--type", "image_foldr"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("'image_foldr'"), HasSubstr("Did you mean 'image_folder'")));
}

TEST_F(DataCheck, WhatIsNoSourceIsRefused) {
  write_text(folder_ / "notes.md", "text");
  fs::create_directories(folder_ / "empty");
  for (const auto& [where, message] :
       std::vector<std::pair<std::string, std::string>>{{"nowhere", "nowhere does not exist"},
                                                        {"notes.md", "notes.md is not a data source"},
                                                        {"empty", "empty"},
                                                        {"none.yaml", "none.yaml"},
                                                        {"none-*.tar", "none-*.tar"}}) {
    const auto result = check({where});
    EXPECT_EQ(result.code, 78) << result.output;
    EXPECT_THAT(result.output, HasSubstr(message));
  }
  EXPECT_EQ(check({}).code, 78);
  EXPECT_EQ(check({"images", "--examples", "-1"}).code, 78);
  EXPECT_EQ(check({"images", "--tokenizer", "nowhere"}).code, 78);
}

TEST_F(DataCheck, FoldersThatLinkToThemselvesAreNoEndlessSearch) {
  fs::create_directories(folder_ / "classes/cats");
  formats::save_png(folder_ / "classes/cats/a.png", Image(8, 8));
  fs::create_directory_symlink("..", folder_ / "classes/cats/again");
  auto result = check({"classes"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("1 of 1 samples accepted"));
  fs::create_directory_symlink(".", folder_ / "images/again");
  result = check({"images"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("20 of 20 samples accepted"));
}

// The names of files and their captions are what one does not trust yet.
TEST_F(DataCheck, NoTextOfTheDataControlsTheTerminal) {
  const std::string bad = "a\x1b[31mred\x1b]0;owned\x07\nforged: 9 of 9 samples accepted\u202e\x9b.png";
  write_text(folder_ / "images" / bad, "no image");
  write_text(folder_ / "images" / (bad.substr(0, bad.size() - 4) + ".txt"), "x");
  formats::save_png(folder_ / "images/00b.png", Image(8, 8));
  write_text(folder_ / "images/00b.txt", "two\nforged: lines\u2028and more");
  for (const std::string json : {"", "--json"}) {
    auto arguments = std::vector<std::string>{"images", "--examples", "30", "--set", "quarantine_budget=1"};
    if (!json.empty()) arguments.push_back(json);
    const auto result = check(arguments);
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output,
                AllOf(HasSubstr("forged: "), Not(HasSubstr("\nforged")), Not(HasSubstr("\x1b"))));
    for (const char* code : {"\x07", "\u202e", "\u2028", "\x9b"})
      EXPECT_THAT(result.output, Not(HasSubstr(code)));
  }
}

TEST_F(DataCheck, LinksThatLeadOutAreRefusedUntilTheyAreTrusted) {
  write_text(folder_ / "secret", "the secret");
  formats::save_png(folder_ / "images/link.png", Image(8, 8));
  fs::create_symlink("../secret", folder_ / "images/link.txt");
  auto result = check({"images"});
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("1 symbolic link(s)"), HasSubstr("link.txt -> "),
                                   HasSubstr("--set follow_links=true"), Not(HasSubstr("the secret"))));
  result = run_pixart({"data", "pack", "images", "shards"}, folder_.path());
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_FALSE(fs::exists(folder_ / "shards"));
  result = check({"images", "--set", "follow_links=true"});
  EXPECT_EQ(result.code, 0) << result.output;
}

TEST_F(DataCheck, SourcesOfARunFile) {
  write_text(folder_ / "run.yaml",
             replaced(tiny_run_yaml(), "sources:\n",
                      "sources:\n  - {name: photos, type: image_folder, path: images}\n"));
  auto result = check({"run.yaml"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("photos: 20 of 20"), HasSubstr("scenes: 48 of 48"),
                                   HasSubstr("classes    13")));
  EXPECT_EQ(json_of(check({"run.yaml", "--json"})).size(), 2);
  result = check({"run.yaml", "--source", "photos"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, Not(HasSubstr("scenes")));
  result = check({"run.yaml", "--source", "scenes", "--set", "sources.scenes.count=5"});
  EXPECT_THAT(result.output, HasSubstr("5 of 5"));
  result = check({"run.yaml", "--source", "photo"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("Did you mean 'photos'"));
  spoil();
  result = check({"run.yaml"});  // both are looked at
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("photos: 18 of 20"), HasSubstr("scenes: 48 of 48")));
}

TEST_F(DataCheck, OptionsThatDoNotGoTogetherAreRefused) {
  write_text(folder_ / "run.yaml",
             replaced(tiny_run_yaml(), "sources:\n",
                      "sources:\n  - {name: photos, type: image_folder, path: images}\n"));
  for (const auto& [arguments, message] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"run.yaml", "--type", "idx"}, "--type is only for folders"},
           {{"images", "--source", "photos"}, "--source is only for run files"},
           {{"run.yaml", "--quarantine", "bad.jsonl"}, "--quarantine takes one source"}}) {
    const auto result = check(arguments);
    EXPECT_EQ(result.code, 78) << result.output;
    EXPECT_THAT(result.output, HasSubstr(message));
  }
}

TEST_F(DataCheck, DrawnScenesNeedNoFolder) {
  const auto result = check({"scenes", "--set", "count=9"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("scenes: 9 of 9"));
}

}  // namespace
}  // namespace pixart::testing
