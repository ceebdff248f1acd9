// Scores of each row of a source: what they are, and that no interruption changes them.
#include "pixart/score/row_scores.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "clip_metrics.h"
#include "clip_pixels.h"
#include "formula_inception.h"
#include "many_keys.h"
#include "pixart/base/file.h"
#include "pixart/base/file_lock.h"
#include "pixart/base/words.h"
#include "pixart/formats/image_file.h"
#include "pixart/text/clip_tokenizer.h"
#include "scratch_folder.h"
#include "tiny_clip.h"

namespace pixart::score {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kRows = 11;

class RowScores : public testing::ScratchFolder {
 protected:
  RowScores() {
    testing::write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR);
    testing::write_tiny_head(folder_ / "head.safetensors");
    std::string table;
    fs::create_directories(folder_ / "images");
    for (int64_t i = 0; i < kRows; ++i) {
      const std::string name = fmt::format("{:02}.png", i);
      formats::save_png(folder_ / "images" / name, testing::formula_image(name, 20 + int(i), 24));
      table += fmt::format(R"({{"image": "{}", "short": "a cat {}", "long": ["a dog {}", "one more dog"]}})",
                           name, i, i) +
               "\n";
    }
    write("images/list.jsonl", table);
    source_.name = "mine";
    source_.type = "table";
    source_.path = folder_ / "images/list.jsonl";
    source_.captions.resize(2);
    source_.captions[0].name = "short", source_.captions[0].weight = 3;
    source_.captions[1].name = "long";
    request_ = {.metrics = {Metric::kClip, Metric::kAesthetic, Metric::kPickscore},
                .clip = folder_ / "clip",
                .aesthetic_head = folder_ / "head.safetensors",
                .out = folder_ / "out/scores.jsonl",
                .batch_size = 2,
                .device = "cpu"};
  }
  RowScoreReport score() const { return score_rows(source_, *data::open_dataset(source_), request_); }
  std::string refusal() const {
    return testing::refusal([&] { score(); });
  }
  std::string out(const std::string& ending = "") const { return read(request_.out.string() + ending); }
  std::vector<json> lines() const {
    std::vector<json> result;
    for (const auto& line : lines_of(out())) result.push_back(json::parse(line));
    return result;
  }
  data::SourceConfig source_;
  RowScoreRequest request_;
};

TEST_F(RowScores, EveryRowHasWhatItsImageAndCaptionsGive) {
  const auto report = score();
  EXPECT_TRUE(report.is_complete);
  EXPECT_EQ(report.ledger.accepted(), kRows);
  const auto found = lines();
  ASSERT_EQ(found.size(), size_t(kRows));
  const at::NoGradGuard no_grad;
  const auto clip = models::load_clip(folder_ / "clip", at::kCPU);
  const text::ClipTokenizer tokenizer(folder_ / "clip");
  const AestheticHead head(folder_ / "head.safetensors");
  for (int64_t i : {int64_t{0}, int64_t{7}, kRows - 1}) {
    const auto& line = found[size_t(i)];
    const std::string name = fmt::format("{:02}.png", i);
    EXPECT_EQ(line["key"], name);
    EXPECT_EQ(line["row"], i);
    EXPECT_EQ(line["height"], 20 + i);
    EXPECT_EQ(line["width"], 24);
    auto input =
        clip_input(clip_pixels(formats::load_image(folder_ / "images" / name), ClipPixels::kCrop, 24));
    const auto image =
        normalized_rows(clip.model->image_features(at::from_blob(input.data(), {1, 3, 24, 24})));
    const auto tokens =
        tokenizer.encode_batch({fmt::format("a cat {}", i), fmt::format("a dog {}", i), "one more dog"}, 12,
                               text::ClipCleaning::kOpenAi);
    const auto cosines =
        normalized_rows(clip.model->text_features(tokens.ids)).matmul(image[0]).to(at::kDouble);
    const double first = cosines[0].item<double>(),
                 second = (cosines[1].item<double>() + cosines[2].item<double>()) / 2;
    EXPECT_NEAR(line["clip_cosine_short"], first, 5e-6);
    EXPECT_NEAR(line["clip_cosine_long"], second, 5e-6);
    EXPECT_NEAR(line["clip_cosine"], 0.75 * first + 0.25 * second, 5e-6);
    EXPECT_NEAR(line["pickscore_short"], clip.model->logit_scale() * first, 2e-5);
    EXPECT_NEAR(line["aesthetic"], head(image).item<double>(), 2e-5);
  }
  EXPECT_NE(found[0]["clip_cosine"], found[7]["clip_cosine"]);
}

TEST_F(RowScores, SourcesFilterByThem) {
  score();
  std::vector<double> values;
  for (const auto& line : lines()) values.push_back(line["aesthetic"]);
  std::sort(values.begin(), values.end());
  source_.scores.file = request_.out;
  source_.scores.limits = {{.name = "aesthetic", .at_least = values[7]}};
  source_.scores.weight_by = "width";
  const auto dataset = data::open_dataset(source_);
  EXPECT_EQ(data::make_ledger("mine", *dataset, {}).accepted(), kRows - 7);
}

// Cut after any byte: in a line, between lines, between batches.
TEST_F(RowScores, AKilledRunContinuesAndGivesTheSameBytes) {
  score();
  const std::string whole = out();
  for (size_t cut = 0; cut <= whole.size(); cut += 97) {
    fs::remove(request_.out);
    write("out/scores.jsonl.partial", whole.substr(0, cut));
    score();
    ASSERT_EQ(out(), whole) << cut;
    EXPECT_FALSE(fs::exists(folder_ / "out/scores.jsonl.partial"));
  }
  fs::remove(request_.out);  // what a power cut may leave
  write("out/scores.jsonl.partial", whole.substr(0, whole.size() / 2) + std::string(50, '\0') + "\n");
  score();
  EXPECT_EQ(out(), whole);
}

TEST_F(RowScores, WhatIsDoneIsNotDoneAgain) {
  score();
  const std::string whole = out(), half = whole.substr(0, whole.find("\"row\":5") + 20);
  fs::remove(request_.out);
  std::string changed = half.substr(0, half.rfind('\n') + 1);
  changed.replace(changed.find("\"width\":24"), 10, "\"width\":99");
  write("out/scores.jsonl.partial", changed);
  score();
  EXPECT_EQ(lines()[0]["width"], 99);
  EXPECT_EQ(lines()[1]["width"], 24);
}

TEST_F(RowScores, PartsInAnyOrderGiveTheSameBytes) {
  score();
  const std::string whole = out();
  for (const auto& order : {std::vector<int64_t>{0, 1, 2}, {2, 0, 1}, {1, 7, 0, 2, 6, 3, 5, 4}}) {
    fs::remove(request_.out);
    request_.parts = int64_t(order.size());
    for (const int64_t part : order) {
      request_.part = part;
      const auto report = score();
      EXPECT_EQ(report.is_complete, part == order.back());
    }
    EXPECT_EQ(out(), whole);
    EXPECT_FALSE(fs::exists(request_.out.string() + fmt::format(".1-of-{}", order.size())));
  }
}

TEST_F(RowScores, PartsOfAnotherNumberAreDeletedWhenTheWholeIsThere) {
  request_.parts = 3, request_.part = 1;
  score();
  const std::string other = request_.out.string(), line = out(".2-of-3");
  write("out/scores.jsonl.1-of-3.partial", line.substr(0, line.size() - 9));
  write("out/scores.jsonl.2-of-3.notes", "mine");
  ASSERT_TRUE(fs::exists(other + ".2-of-3"));
  request_.parts = 1, request_.part = 0;
  EXPECT_TRUE(score().is_complete);
  EXPECT_FALSE(fs::exists(other + ".2-of-3"));
  EXPECT_FALSE(fs::exists(other + ".1-of-3.partial"));
  EXPECT_TRUE(fs::exists(other + ".2-of-3.notes"));
  write("out/scores.jsonl.4-of-9", line);  // of another process
  {
    const FileLock lock(other + ".4-of-9");
    score();
    EXPECT_TRUE(fs::exists(other + ".4-of-9"));
  }
  score();
  EXPECT_FALSE(fs::exists(other + ".4-of-9"));
}

TEST_F(RowScores, ABadImageEndsNothing) {
  write("images/03.png", "no image");
  source_.quarantine_budget = 1;
  const auto report = score();
  EXPECT_EQ(report.ledger.accepted(), kRows - 1);
  const auto line = lines()[3];
  EXPECT_EQ(line["rejected"], "not_a_picture");
  EXPECT_EQ(line.count("aesthetic"), 0u);
  EXPECT_THAT(out(".quarantine.jsonl"), AllOf(HasSubstr("03.png"), HasSubstr("not_a_picture")));
  const std::string whole = out();
  fs::remove(request_.out);
  write("out/scores.jsonl.partial", whole.substr(0, whole.size() / 2));
  score();
  EXPECT_EQ(out(), whole);
}

TEST_F(RowScores, AnotherProtocolIsRefused) {
  score();
  const std::string whole = out();
  const auto begin = request_;
  request_.metrics = {Metric::kAesthetic};
  EXPECT_THAT(refusal(), AllOf(HasSubstr("another protocol"), HasSubstr("metrics was")));
  request_ = begin;
  request_.batch_size = 3;
  EXPECT_THAT(refusal(), HasSubstr("batch was 2, and is 3 now"));
  request_ = begin;
  testing::write_tiny_head(folder_ / "head.safetensors", 5);
  EXPECT_THAT(refusal(), HasSubstr("aesthetic_head_sha256 was"));
  testing::write_tiny_head(folder_ / "head.safetensors");
  testing::write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR, 8);
  EXPECT_THAT(refusal(), HasSubstr("clip_sha256 was"));
  testing::write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR);
  source_.captions[0].weight = 2;
  EXPECT_THAT(refusal(), HasSubstr("captions was"));
  source_.captions[0].weight = 3;
  source_.max_samples = 5;
  EXPECT_THAT(refusal(), HasSubstr("rows was 11, and is 5 now"));
  write("out/scores.jsonl.protocol.json", "{" + testing::many_keys() + "}");
  EXPECT_THAT(refusal(), HasSubstr("scores.jsonl.protocol.json is damaged"));
  EXPECT_EQ(out(), whole);
}

TEST_F(RowScores, ScoresThatAreNotFiniteEndTheWork) {
  formats::save_safetensors(
      folder_ / "head.safetensors",
      {{"weight", at::full({1, testing::kTinyEmbedding}, NAN)}, {"bias", at::full({1}, 5.0)}});
  try {
    score();
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kNumerics);
    EXPECT_THAT(error.what(), HasSubstr("a score is not finite"));
  }
  EXPECT_FALSE(fs::exists(request_.out));
}

TEST_F(RowScores, FilesOfOthersStay) {
  fs::create_directories(folder_ / "out");
  write("out/scores.jsonl", "mine\n");
  EXPECT_THAT(refusal(), HasSubstr("says how it was made"));
  EXPECT_EQ(out(), "mine\n");
}

TEST_F(RowScores, FilesOfOthersWithTheNamesOfPartsStay) {
  fs::create_directories(folder_ / "out");
  const auto refused = [&](const std::string& ending, int64_t parts) {
    request_.parts = parts, request_.part = parts - 1;
    write("out/scores.jsonl" + ending, "mine\n");
    EXPECT_THAT(refusal(), HasSubstr("scores.jsonl" + ending + " is there and ")) << ending;
    EXPECT_EQ(out(ending), "mine\n");
    EXPECT_FALSE(fs::exists(request_.out.string() + ".protocol.json")) << "before any work";
    fs::remove(request_.out.string() + ending);
  };
  refused(".partial", 1);
  refused(".quarantine.jsonl", 1);
  refused(".1-of-2", 2);
  refused(".2-of-2", 2);
  refused(".2-of-2.partial", 2);
  request_.parts = 1, request_.part = 0;
  const std::string line = R"({"key":"00.png","row":0,"width":24,"height":20})";
  const std::vector<std::pair<std::string, std::string>> kept = {
      {".1-of-2", "mine\n"}, {".1-of-2.partial", ""}, {".3-of-7.partial", line + "\nmine\n"}};
  for (const auto& [ending, text] : kept) write("out/scores.jsonl" + ending, text);
  EXPECT_TRUE(score().is_complete);
  EXPECT_EQ(out(".1-of-2"), "mine\n");
  EXPECT_EQ(out(".3-of-7.partial"), line + "\nmine\n");
  EXPECT_FALSE(fs::exists(request_.out.string() + ".1-of-2.partial")) << "it holds nothing";
}

// Each part is judged, so that none is lost in a whole that is damaged.
TEST_F(RowScores, PartsThatWereChangedAreNotJoined) {
  request_.parts = 2;
  score();
  const std::string first = out(".1-of-2"), end = first.substr(0, first.rfind('\n', first.size() - 2) + 1);
  request_.part = 1;
  const auto refused = [&](const std::string& text) {
    write("out/scores.jsonl.1-of-2", text);
    const auto message = refusal();
    EXPECT_EQ(out(".1-of-2"), text);
    EXPECT_TRUE(fs::exists(request_.out.string() + ".2-of-2"));
    EXPECT_FALSE(fs::exists(request_.out));
    return message;
  };
  EXPECT_THAT(refused(end), HasSubstr("scores.jsonl.1-of-2 was changed or is damaged: 1 of "));
  EXPECT_THAT(refused(first + out(".2-of-2")), HasSubstr("is not a row of scores"));
  EXPECT_THAT(refused(out(".2-of-2")), HasSubstr("is not a row of scores"));
  write("out/scores.jsonl.1-of-2", first);
  EXPECT_TRUE(score().is_complete);
  EXPECT_FALSE(fs::exists(request_.out.string() + ".1-of-2"));
}

TEST_F(RowScores, AFileThatWasChangedIsNotTakenForWhole) {
  score();
  const std::string whole = out(), last = whole.substr(0, whole.rfind('\n', whole.size() - 2) + 1);
  const auto changed = [&](const std::string& text) {
    write("out/scores.jsonl", text);
    const auto message = refusal();
    EXPECT_EQ(out(), text) << "it stays";
    return message;
  };
  EXPECT_THAT(changed(""), HasSubstr("11 of 11 rows have no line, the first of them 00.png"));
  EXPECT_THAT(changed(last), HasSubstr("1 of 11 rows have no line, the first of them 10.png"));
  for (const char* row : {"11", "-1", "\"3\"", "1.5", "null"}) {
    std::string other = whole;
    other.replace(other.find("\"row\":3,") + 6, 1, row);
    EXPECT_THAT(changed(other), HasSubstr("line 4 is not a row of scores")) << row;
  }
  EXPECT_THAT(changed("{\"row\":0," + testing::many_keys() + "}\n" + whole),
              HasSubstr("line 1 is not a row of scores"));
  fs::remove(request_.out);
  score();
  EXPECT_EQ(out(), whole);
}

// Lines of rows that exist, with what no run of the command writes.
TEST_F(RowScores, LinesThatItCannotHaveWrittenAreDamage) {
  write("images/03.png", "no image");
  source_.quarantine_budget = 1;
  score();
  const std::string whole = out();
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    text.replace(text.find(from), from.size(), to);
    write("out/scores.jsonl", text);
    const auto message = refusal();
    EXPECT_THAT(message, HasSubstr("scores.jsonl was changed or is damaged: line "));
    EXPECT_EQ(message.find('\x1b'), std::string::npos);
    EXPECT_EQ(out(), text) << "it stays";
    return message;
  };
  const std::string first = "\"row\":0,\"width\":24,", reason = "\"not_a_picture\"";
  EXPECT_THAT(changed(first, first + "\"k\\u001b[31m\":1e308,"),
              AllOf(HasSubstr("line 1 has a field that these metrics do not have"), HasSubstr("31m")));
  EXPECT_THAT(changed(first, first + "\"clip_cosine_longer\":0.5,"), HasSubstr("clip_cosine_longer"));
  for (const char* value : {"1e308", "-1e39", "\"0.5\"", "null", "[1]"})
    EXPECT_THAT(
        changed("\"clip_cosine\":", std::string("\"clip_cosine\":") + value + ",\"clip_cosine_long\":"),
        HasSubstr("line 1 has a value of clip_cosine that is not a score"))
        << value;
  EXPECT_THAT(changed(first, "\"row\":0,\"width\":0,"), HasSubstr("line 1 has no width of an image"));
  EXPECT_THAT(changed("\"height\":20,", ""), HasSubstr("line 1 has no height of an image"));
  EXPECT_THAT(changed("\"aesthetic\":", "\"pickscore\":"), HasSubstr("line 1 has no aesthetic"));
  EXPECT_THAT(changed("\"key\":\"00.png\",", ""), HasSubstr("line 1 names no sample"));
  EXPECT_THAT(changed("00.png", "01.png"), HasSubstr("line 1 is of another sample than 00.png"));
  EXPECT_THAT(changed("\"row\":1,", "\"row\":0,"), HasSubstr("line 2 is of row 0 and not in order"));
  for (const char* other : {"\"\\u001b[31m\"", "\"\"", "7"})
    EXPECT_THAT(changed(reason, other), HasSubstr("line 4 has a reason of rejection that does not exist"))
        << other;
  EXPECT_THAT(changed(reason + ",", reason + ",\"aesthetic\":5.0,"),
              HasSubstr("line 4 has other fields than"));
  EXPECT_THAT(changed("\"detail\":", "\"details\":"), HasSubstr("line 4 has other fields than"));
  write("out/scores.jsonl", whole);
  EXPECT_EQ(score().ledger.accepted(), kRows - 1);
}

TEST_F(RowScores, OnlyOneProcessMakesAPart) {
  score();
  fs::remove(request_.out);
  const auto lock = FileLock::try_lock(folder_ / "out/scores.jsonl.partial");
  try {
    score();
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kFolderOwned);
  }
}

TEST_F(RowScores, ARequestIsRefusedAsAWhole) {
  request_.metrics = {Metric::kFid, Metric::kAesthetic};
  request_.clip = request_.aesthetic_head = fs::path();
  request_.part = 3;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("fid is not a score of a single row"), HasSubstr("--clip"),
                               HasSubstr("--aesthetic-head"), HasSubstr("part 4 of 1 does not exist")));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

}  // namespace
}  // namespace pixart::score
