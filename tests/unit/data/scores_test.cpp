// Sources that are filtered and weighted by a file of scores.
#include <algorithm>
#include <map>

#include "folder.h"
#include "pixart/config/config.h"
#include "pixart/data/check.h"
#include "pixart/data/pack.h"
#include "pixart/data/quarantine.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

class Scores : public Folder {
 protected:
  // Rows a.png, b.png, ..., f.png.
  Scores() {
    for (const char* stem : {"a", "b", "c", "d", "e", "f"})
      captioned(std::string("images/") + stem, "an image");
    config_.name = "mine";
    config_.path = folder_ / "images";
    config_.scores.file = folder_ / "scores.jsonl";
    config_.scores.limits = {{.name = "aesthetic", .at_least = 4.5}};
  }
  void scores(const std::string& lines) const { write("scores.jsonl", lines); }
  std::vector<std::string> kept() const {
    const auto dataset = open_dataset(config_);
    std::vector<std::string> keys;
    for (int64_t row = 0; row < dataset->size(); ++row)
      if (!dataset->is_left_out(row)) keys.push_back(dataset->row(row).key);
    return keys;
  }
  Ledger ledger() {
    dataset_ = open_dataset(config_);
    return make_ledger("mine", *dataset_, {});
  }
  SourceConfig config_;
  std::unique_ptr<Dataset> dataset_;
};

// The order of the lines does not matter, and lines of other rows neither.
const char* const kLines =
    "{\"key\": \"f.png\", \"aesthetic\": 4.5, \"clip_cosine\": 0.3}\n"
    "{\"key\": \"a.png\", \"aesthetic\": 6, \"clip_cosine\": 0.1}\n"
    "{\"key\": \"gone.png\", \"aesthetic\": 9}\n"
    "{\"key\": \"b.png\", \"aesthetic\": 4.4999, \"clip_cosine\": 0.4}\n"
    "{\"key\": \"c.png\", \"aesthetic\": null, \"clip_cosine\": 0.4}\n"
    "{\"key\": \"d.png\", \"aesthetic\": 5, \"clip_cosine\": 0.25}\n";

TEST_F(Scores, LimitsLeaveRowsOut) {
  scores(kLines);
  EXPECT_THAT(kept(), ElementsAre("a.png", "d.png", "f.png"));
  config_.scores.limits.push_back({.name = "clip_cosine", .at_least = 0.2, .at_most = 0.29});
  EXPECT_THAT(kept(), ElementsAre("d.png"));
}

TEST_F(Scores, TheLedgerHasTheReasonsAndEveryRowKeepsItsNumber) {
  scores(kLines);
  config_.scores.limits.push_back({.name = "clip_cosine", .at_most = 0.29});
  const auto found = ledger();
  EXPECT_EQ(found.listed, 6);
  EXPECT_EQ(found.accepted(), 2);
  EXPECT_THAT(found.rejected, IsEmpty());
  EXPECT_THAT(found.by_reason(),
              ElementsAre(Pair("score_missing", 1), Pair("score_too_high", 2), Pair("score_too_low", 1)));
  EXPECT_THAT(keys_of(*dataset_), ElementsAre("a.png", "b.png", "c.png", "d.png", "e.png", "f.png"));
  EXPECT_THAT(found.unused_rows(), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(
      quarantine_text(found),
      AllOf(HasSubstr(R"({"source":"mine","row":1,"key":"b.png","offset":0,"reason":"score_too_low",)"
                      R"("detail":"its aesthetic is below 4.5"})"),
            HasSubstr("its clip_cosine is above 0.29"), HasSubstr("scores.jsonl says nothing about it")));
  EXPECT_NO_THROW(check_budget(config_, found));
  write_quarantine(folder_ / "quarantine.jsonl", found);
  std::ifstream stream(folder_ / "quarantine.jsonl");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), quarantine_text(found));
}

// Nothing that is found about a row that nobody wants counts against the budget; the listing's reason comes first.
TEST_F(Scores, WhatIsWrongWithRowsThatAreLeftOutDoesNotCount) {
  write("images/a.png", "");
  scores(kLines);
  dataset_ = open_dataset(config_);
  EXPECT_THAT(rejected_of(*dataset_), ElementsAre("a.png empty_file"));
  const auto found = make_ledger("mine", *dataset_,
                                 {{.row = 1, .key = "b.png", .reason = Reason::kDamagedImage},
                                  {.row = 3, .key = "d.png", .reason = Reason::kDamagedImage}});
  EXPECT_THAT(found.by_reason(), ElementsAre(Pair("damaged_picture", 1), Pair("empty_file", 1),
                                             Pair("score_missing", 2), Pair("score_too_low", 1)));
  EXPECT_EQ(found.accepted(), 1);
  EXPECT_EQ(count_of(found).unusable, 2);
  EXPECT_EQ(count_of(found).listed, 3);
}

TEST_F(Scores, RowsWithoutScoreAreRejectedKeptOrAnError) {
  scores(kLines);
  config_.scores.missing = MissingScore::kKeep;
  EXPECT_THAT(kept(), ElementsAre("a.png", "c.png", "d.png", "e.png", "f.png"));
  config_.scores.missing = MissingScore::kError;
  EXPECT_THAT(refusal(config_),
              AllOf(HasSubstr("no value for 2 of 6 rows: c.png, e.png"), HasSubstr("scores.missing")));
  // A row that could not be scored is not one that was forgotten.
  std::string all = kLines;
  all.replace(all.find("\"aesthetic\": null, \"clip_cosine\": 0.4"), 37, "\"rejected\": \"damaged_picture\"");
  scores(all + "{\"key\": \"e.png\", \"aesthetic\": 5}\n");
  EXPECT_THAT(kept(), ElementsAre("a.png", "d.png", "e.png", "f.png"));
}

TEST_F(Scores, TablesOfOthersWithTheirOwnNames) {
  write("laion.csv", "path,similarity,score\nb.png,0.31,7.25\na.png,0.2,\"3\"\n");
  config_.scores = {.file = folder_ / "laion.csv",
                    .key = "path",
                    .limits = {{.name = "similarity", .at_least = 0.1}},
                    .weight_by = "score",
                    .missing = MissingScore::kKeep};
  dataset_ = open_dataset(config_);
  const auto& drawn = dataset_->selection()->drawn;
  const auto share = [&](int64_t row) {
    return double(drawn.up_to[size_t(row)] - (row == 0 ? 0 : drawn.up_to[size_t(row) - 1])) /
           double(drawn.total());
  };
  EXPECT_NEAR(share(0), 3 / 30.75, 1e-8);
  EXPECT_NEAR(share(1), 7.25 / 30.75, 1e-8);
  for (int64_t row = 2; row < 6; ++row)
    EXPECT_NEAR(share(row), 5.125 / 30.75, 1e-8) << "the mean of the others";
}

TEST_F(Scores, AWeightOfZeroLeavesARowOutOfTheOrderOnly) {
  scores("{\"key\": \"a.png\", \"w\": 0}\n{\"key\": \"b.png\", \"w\": 1}\n{\"key\": \"c.png\", \"w\": 3}\n");
  config_.scores.limits.clear();
  config_.scores.weight_by = "w";
  const auto found = ledger();
  EXPECT_EQ(found.accepted(), 3);
  EXPECT_THAT(found.unused_rows(), ElementsAre(0, 3, 4, 5));
  EXPECT_EQ(dataset_->selection()->drawn.per_pass, 2);
}

TEST_F(Scores, RefusalsNameFileAndLine) {
  const auto message_of = [this](const std::string& lines) {
    scores(lines);
    return refusal(config_);
  };
  const std::string good = "{\"key\": \"a.png\", \"aesthetic\": 6}\n";
  EXPECT_THAT(message_of(good + good),
              AllOf(HasSubstr("scores.jsonl"), HasSubstr("line 2: the key a.png is on an earlier")));
  EXPECT_THAT(message_of(good + "{\"key\": \"b.png\", \"aesthetic\": NaN}\n"),
              HasSubstr("line 2: 'aesthetic' is empty or NaN, not a finite number"));
  EXPECT_THAT(message_of(good + "{\"key\": \"b.png\", \"aesthetic\": \"good\"}\n"),
              HasSubstr("line 2: 'aesthetic' is \"good\""));
  EXPECT_THAT(message_of("\n" + good + "{\"aesthetic\": 6}\nno json\n"),
              AllOf(HasSubstr("line 3: it has no field 'key'"), HasSubstr("line 4: ")));
  EXPECT_THAT(message_of("{\"key\": \"x/a.png\", \"aesthetic\": 6}\n"),
              AllOf(HasSubstr("names a row of the source"), HasSubstr("x/a.png"), HasSubstr("is a.png")));
  EXPECT_THAT(message_of("{\"key\": \"a.png\", \"aesthetic\": 1}\n"),
              HasSubstr("keep none of 6 rows: 5 score_missing, 1 score_too_low"));
  config_.scores.weight_by = "w";
  EXPECT_THAT(message_of("{\"key\": \"a.png\", \"aesthetic\": 6, \"w\": -1}\n"),
              HasSubstr("line 1: 'w' is -1"));
  EXPECT_THAT(message_of("{\"key\": \"a.png\", \"aesthetic\": 6, \"w\": 1e308}\n"),
              HasSubstr("line 1: 'w' is 1e+308; a weight is from 0 to 1e+100"));
  config_.scores.file = folder_ / "none.jsonl";
  EXPECT_THAT(refusal(config_), AllOf(HasSubstr("none.jsonl"), HasSubstr("is not a file")));
}

// A misspelt name must not keep every row.
TEST_F(Scores, AFieldThatNoLineHasIsRefusedWhateverBecomesOfMissingValues) {
  scores(kLines);
  for (const auto missing : {MissingScore::kReject, MissingScore::kKeep, MissingScore::kError}) {
    config_.scores = {.file = folder_ / "scores.jsonl",
                      .limits = {{.name = "aesthetic", .at_least = 1}, {.name = "asthetic", .at_least = 1}},
                      .missing = missing};
    EXPECT_THAT(refusal(config_),
                AllOf(HasSubstr("source mine"), HasSubstr("has the field asthetic; there are aesthetic, "),
                      HasSubstr("Did you mean 'aesthetic'?")));
    config_.scores.limits.pop_back();
    config_.scores.weight_by = "weigth";
    EXPECT_THAT(refusal(config_), HasSubstr("has the field weigth"));
  }
  // A field of a single line is one, also where its value is null.
  config_.scores.weight_by = "";
  scores("{\"key\": \"b.png\"}\n{\"key\": \"a.png\", \"aesthetic\": null}\n");
  config_.scores.missing = MissingScore::kKeep;
  EXPECT_EQ(kept().size(), 6u);
}

TEST_F(Scores, WhereNoRowIsKeptTheReasonsAreCounted) {
  write("images/a.png", "");
  scores(
      "{\"key\": \"b.png\", \"aesthetic\": 1, \"w\": 1}\n{\"key\": \"c.png\", \"aesthetic\": 6, \"w\": 0}\n");
  config_.scores.weight_by = "w";
  EXPECT_THAT(refusal(config_),
              HasSubstr("keep none of 6 rows: 1 cannot be used, 3 score_missing, 1 score_too_low, "
                        "1 without weight"));
}

TEST_F(Scores, KeysOfTheRunFileAreChecked) {
  const auto problems_of = [](const std::string& scores) {
    try {
      config::read_text<SourceConfig>("{name: a, type: image_folder, path: b, scores: " + scores + "}",
                                      "run.yaml", {});
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(problems_of("{file: s.jsonl, limits: [{name: aesthetic, at_least: 5}], weight_by: w}"), "");
  EXPECT_EQ(problems_of("{}"), "");
  EXPECT_THAT(problems_of("{file: s.jsonl}"), HasSubstr("both empty"));
  EXPECT_THAT(problems_of("{weight_by: w}"), HasSubstr("file is missing"));
  EXPECT_THAT(problems_of("{file: s, limits: [{name: a}]}"), HasSubstr("neither at_least nor at_most"));
  EXPECT_THAT(problems_of("{file: s, limits: [{name: a, at_least: 2, at_most: 1}]}"),
              HasSubstr("no row is kept"));
  EXPECT_THAT(problems_of("{file: s, limits: [{name: a, at_least: 2}, {name: a, at_most: 3}]}"),
              HasSubstr("twice"));
}

// Latents and text features stay valid when limits change.
TEST_F(Scores, TheFingerprintsOfImagesAndCaptionsStay) {
  scores(kLines);
  const auto scored = open_dataset(config_);
  EXPECT_EQ(scored->selection()->sha256, formats::sha256_of_file(config_.scores.file));
  config_.scores = {};
  const auto plain = open_dataset(config_);
  EXPECT_EQ(plain->selection(), nullptr);
  EXPECT_EQ(scored->fingerprint(), plain->fingerprint());
  EXPECT_EQ(captions_fingerprint(*scored), captions_fingerprint(*plain));
}

TEST_F(Scores, CheckAndPackLookAtWhatIsKept) {
  scores(kLines);
  dataset_ = open_dataset(config_);
  const auto report = check(config_, *dataset_, {});
  EXPECT_EQ(describe(report.ledger), "3 of 6 samples accepted; rejected: 2 score_missing, 1 score_too_low");
  EXPECT_EQ(report.captions.at("caption").captions, 3);
  const auto packed = pack(config_, *dataset_, folder_ / "shards", {});
  EXPECT_EQ(packed.ledger.accepted(), 3);
  SourceConfig shards;
  shards.name = "shards";
  shards.type = "webdataset";
  shards.path = folder_ / "shards";
  EXPECT_EQ(open_dataset(shards)->size(), 3);
  config_.scores.limits[0].at_least = 4;
  EXPECT_THROW(pack(config_, *open_dataset(config_), folder_ / "shards", {}), UserError) << "other rows";
}

}  // namespace
}  // namespace pixart::data
