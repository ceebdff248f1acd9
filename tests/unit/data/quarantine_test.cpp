#include "pixart/data/quarantine.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "file_size_limit.h"
#include "folder.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/data/quarantine_file.h"

namespace pixart::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Quarantined : public Folder {
 protected:
  Quarantined() {
    for (int i = 10; i < 20; ++i) captioned(fmt::format("p{}", i), "text");
    write("p12.png", "");
    config_.name = "stamps";
    config_.path = folder_;
    config_.quarantine_budget = 0.5;
    dataset_ = open_dataset(config_);
  }
  static Rejection rejection(int64_t row) {
    return {.row = row,
            .key = fmt::format("p{}.png", 10 + row),
            .reason = Reason::kDamagedImage,
            .detail = "cut \xFF off"};
  }
  SourceConfig config_;
  std::unique_ptr<Dataset> dataset_;
};

TEST(Reasons, HaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (const Reason reason : all_reasons()) names.insert(to_string(reason));
  EXPECT_EQ(names.size(), all_reasons().size());
}

TEST_F(Quarantined, LedgerCountsEveryRowOnce) {
  const auto ledger = make_ledger("stamps", *dataset_, {rejection(7), rejection(2), rejection(7)});
  EXPECT_EQ(ledger.listed, 10);
  EXPECT_EQ(ledger.accepted(), 8);
  EXPECT_EQ(describe(ledger), "8 of 10 samples accepted; rejected: 1 damaged_picture, 1 empty_file");
  EXPECT_EQ(ledger.rejected[0].reason, Reason::kEmptyFile);  // the listing's reason counts
  EXPECT_THROW(make_ledger("stamps", *dataset_, {rejection(10)}), InternalError);
}

TEST_F(Quarantined, FileHoldsALineForEach) {
  write_quarantine(folder_ / "quarantine.jsonl", make_ledger("stamps", *dataset_, {rejection(7)}));
  std::istringstream lines(read_file(folder_ / "quarantine.jsonl"));
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[0]["key"], "p12.png");
  EXPECT_EQ(rows[0]["reason"], "empty_file");
  EXPECT_EQ(rows[1]["row"], 7);
  EXPECT_EQ(rows[1]["reason"], "damaged_picture");
  EXPECT_EQ(rows[1]["source"], "stamps");
}

TEST_F(Quarantined, LinesAreAppendedAsTheyAreWritten) {
  const auto path = folder_ / "quarantine.jsonl", whole = folder_ / "whole.jsonl";
  QuarantineFile file(path);
  file.replace(make_ledger("stamps", *dataset_, {}));
  file.append("stamps", rejection(7));
  write_quarantine(whole, make_ledger("stamps", *dataset_, {rejection(7)}));
  EXPECT_EQ(read_file(path), read_file(whole));
  QuarantineFile(folder_ / "new.jsonl").append("stamps", rejection(7));
  EXPECT_THAT(read_file(folder_ / "new.jsonl"), HasSubstr("damaged_picture"));
}

TEST_F(Quarantined, OnlyAQuarantineFileIsReplaced) {
  const auto path = folder_ / "quarantine.jsonl";
  const std::string line = quarantine_line("stamps", rejection(7));
  const auto ledger = make_ledger("stamps", *dataset_, {rejection(7)});
  for (const std::string& own : {std::string(), line, line + line.substr(0, 30) + "\n" + line,
                                 line.substr(0, 4), line + std::string(9, '\0')}) {
    write("quarantine.jsonl", own);
    EXPECT_NO_THROW(write_quarantine(path, ledger)) << own;
  }
  for (const std::string& foreign :
       {std::string("mine\n"), line + "mine\n", std::string("{\"source\": \"stamps\", \"row\": 7}\n"),
        std::string("[1]"), std::string(size_t{5} << 20, '{')}) {
    write("quarantine.jsonl", foreign);
    EXPECT_THAT([&] { write_quarantine(path, ledger); },
                ThrowsMessage<UserError>(HasSubstr("is not a quarantine file, so it is not replaced")));
    EXPECT_EQ(read_file(path), foreign);
  }
  EXPECT_THROW(write_quarantine(folder_, ledger), UserError);
}

TEST_F(Quarantined, ALinkStaysALink) {
  const auto link = folder_ / "link.jsonl", other = folder_ / "other.jsonl";
  std::filesystem::create_symlink(other, link);
  write_quarantine(link, make_ledger("stamps", *dataset_, {}));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_THAT(read_file(other), HasSubstr("empty_file"));
}

TEST_F(Quarantined, ARunKeepsTheFileOfAUser) {
  const auto path = folder_ / "quarantine.jsonl";
  for (const bool replaces : {true, false}) {
    write("quarantine.jsonl", "mine\n");
    QuarantineFile file(path);
    ::testing::internal::CaptureStderr();
    if (replaces) file.replace(make_ledger("stamps", *dataset_, {}));
    file.append("stamps", rejection(7));
    EXPECT_THAT(::testing::internal::GetCapturedStderr(),
                HasSubstr("was not a quarantine file: it is kept as"));
    EXPECT_EQ(read_file(folder_ / fmt::format("quarantine.jsonl.kept-{}", replaces ? 1 : 2)), "mine\n");
    EXPECT_THAT(read_file(path), ::testing::EndsWith(quarantine_line("stamps", rejection(7))));
    EXPECT_EQ(read_file(path).find("mine"), std::string::npos);
  }
}

TEST_F(Quarantined, LinesWaitUntilTheFileCanBeWritten) {
  const auto place = folder_ / "place", path = place / "quarantine.jsonl", whole = folder_ / "whole.jsonl";
  std::ofstream(place) << "a file in the place of the folder";
  QuarantineFile file(path);
  file.replace(make_ledger("stamps", *dataset_, {rejection(5)}));
  file.append("stamps", rejection(7));
  std::filesystem::remove(place);
  file.write_waiting();
  write_quarantine(whole, make_ledger("stamps", *dataset_, {rejection(5), rejection(7)}));
  EXPECT_EQ(read_file(path), read_file(whole));
}

// The limit cuts a line at every place in turn: the torn line stays separate, and the whole one comes after it.
TEST_F(Quarantined, ALineThatTheDiskTookInPartIsWrittenAgain) {
  const auto path = folder_ / "quarantine.jsonl";
  const std::string line = quarantine_line("stamps", rejection(7));
  for (size_t bytes = 0; bytes < line.size(); bytes += 7) {
    std::filesystem::remove(path);
    QuarantineFile file(path);
    {
      const testing::FileSizeLimit limit(bytes);
      file.append("stamps", rejection(7));
    }
    file.append("stamps", rejection(8));
    const std::string torn = bytes == 0 ? "" : line.substr(0, bytes) + "\n";
    EXPECT_EQ(read_file(path), torn + line + quarantine_line("stamps", rejection(8)));
  }
}

TEST_F(Quarantined, OfTooManyWaitingLinesTheOldestAreDropped) {
  const auto place = folder_ / "place";
  std::ofstream(place) << "a file in the place of the folder";
  const size_t length = quarantine_line("stamps", rejection(7)).size();
  QuarantineFile file(place / "quarantine.jsonl", int64_t(4 * length));
  file.replace(make_ledger("stamps", *dataset_, {}));
  for (int64_t row = 0; row < 10; ++row) file.append("stamps", rejection(row));
  std::filesystem::remove(place);
  ::testing::internal::CaptureStderr();
  file.write_waiting();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("older lines are lost"));
  const std::string text = read_file(place / "quarantine.jsonl");
  EXPECT_LE(text.size(), 4 * length);
  EXPECT_THAT(text, ::testing::EndsWith(quarantine_line("stamps", rejection(9))));
}

TEST_F(Quarantined, ARowOfTheListingCountsOnce) {
  Quarantine quarantine(config_, *dataset_);
  EXPECT_EQ(quarantine.size(), 1);
  quarantine.add(rejection(2));  // p12.png, which the listing rejects
  EXPECT_EQ(quarantine.size(), 1);
  EXPECT_TRUE(quarantine.has(2));
  EXPECT_FALSE(quarantine.has(3));
  quarantine.add({.row = 3, .key = "p13.png", .reason = Reason::kMissingCaption});
  const auto count = count_of(quarantine.ledger());
  EXPECT_EQ(count.rejected, 2);
  EXPECT_EQ(count.unusable, 1);
}

class ManyRows : public Dataset {
 public:
  explicit ManyRows(int64_t rows) : rows_(rows) {}
  int64_t size() const override { return rows_; }
  Row row(int64_t index) const override { return {.key = std::to_string(index)}; }
  const std::vector<std::string>& class_names() const override { return none_; }
  const std::vector<Rejection>& rejected() const override { return nothing_; }
  std::string fingerprint() const override { return "many"; }

 private:
  std::string read_bytes_of(int64_t) const override { return {}; }
  int64_t rows_;
  std::vector<std::string> none_;
  std::vector<Rejection> nothing_;
};

// A ledger for each row would take hours.
TEST_F(Quarantined, HundredThousandsOfRowsTakeSeconds) {
  constexpr int64_t kRows = 300000;
  const ManyRows many(kRows);
  auto config = config_;
  config.quarantine_budget = 1;
  Quarantine quarantine(config, many);
  log::set_level(log::Level::kError);
  for (int64_t row = 1; row < kRows; ++row) quarantine.add({.row = row, .reason = Reason::kEmptyFile});
  log::set_level(log::Level::kInfo);
  EXPECT_EQ(quarantine.size(), kRows - 1);
  EXPECT_THAT([&] { quarantine.add({.row = 0, .reason = Reason::kEmptyFile}); },
              ThrowsMessage<UserError>(HasSubstr("none of 300000 samples can be used")));
}

TEST_F(Quarantined, BudgetStopsWithCountAndKeys) {
  const auto ledger = make_ledger("stamps", *dataset_, {rejection(7)});
  auto strict = config_;
  strict.quarantine_budget = 0.19;
  EXPECT_THAT([&] { check_budget(strict, ledger); },
              ThrowsMessage<UserError>(AllOf(HasSubstr("2 of 10 samples cannot be used (20.00 %)"),
                                             HasSubstr("quarantine_budget = 0.19"),
                                             HasSubstr("p12.png (empty_file), p17.png (damaged_picture)"))));
  strict.quarantine_budget = 0.2;
  check_budget(strict, ledger);
}

TEST_F(Quarantined, IsFilledFromSeveralThreads) {
  Quarantine quarantine(config_, *dataset_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (const int64_t row : {3, 1, 5}) quarantine.add(rejection(row));
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(quarantine.size(), 4);
  quarantine.add(rejection(6));
  EXPECT_THAT([&] { quarantine.add(rejection(8)); }, ThrowsMessage<UserError>(HasSubstr("6 of 10")));
}

}  // namespace
}  // namespace pixart::data
