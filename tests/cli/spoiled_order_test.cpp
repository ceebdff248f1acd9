// One sample of a hundred is spoiled (tests/support/spoil.py): the others stand where they stood, and the
// ledger is the same however many processes read.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/data/check.h"
#include "pixart/data/order.h"
#include "process.h"

namespace pixart::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kCount = 3000;  // half of what 1 % would be: 2 % are spoiled, in 60 ways

void spoil(const fs::path& out, bool clean) {
  const std::string command = fmt::format("python3 {}/tests/support/spoil.py {} --count {}{}",
                                          PIXART_SOURCE_DIR, out.string(), kCount, clean ? " --clean" : "");
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

data::SourceConfig source_of(const fs::path& folder) {
  data::SourceConfig source;
  source.name = "spoiled";
  source.path = folder / "pictures";
  source.missing_caption = data::MissingCaption::kSkip;
  source.missing_caption_share = 0.01;
  source.quarantine_budget = 0.05;
  return source;
}

std::vector<int64_t> expected_rows(const fs::path& folder) {
  std::vector<int64_t> rows;
  std::ifstream file(folder / "expected.jsonl");
  for (std::string line; std::getline(file, line);) rows.push_back(nlohmann::json::parse(line).at("row"));
  return rows;
}

class SpoiledData : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    spoil(*folder_ / "spoiled", false);
    spoil(*folder_ / "clean", true);
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> SpoiledData::folder_;

TEST_F(SpoiledData, TheRestKeepsItsOrderOnEveryNumberOfRanks) {
  const auto spoiled = source_of(*folder_ / "spoiled"), clean = source_of(*folder_ / "clean");
  const auto dataset = data::open_dataset(spoiled), whole = data::open_dataset(clean);
  ASSERT_EQ(dataset->size(), whole->size());
  std::vector<int64_t> rejected;
  data::check(spoiled, *dataset,
              {.on_rejection = [&](const data::Rejection& rejection) { rejected.push_back(rejection.row); }});
  EXPECT_EQ(rejected, expected_rows(*folder_ / "spoiled"));
  EXPECT_GE(rejected.size(), 40u);
  EXPECT_EQ(data::check(clean, *whole, {}).ledger.accepted(), whole->size());

  const data::SampleOrder with(3, {{.rows = dataset->size(), .rejected = rejected}}),
      without(3, {{.rows = whole->size()}});
  const std::set<int64_t> bad(rejected.begin(), rejected.end());
  constexpr int64_t kBatch = 32;
  const int64_t steps = 2 * dataset->size() / kBatch;
  int64_t replaced = 0;
  for (const int64_t ranks : {1, 2, 4}) {
    for (int64_t step = 0; step < steps; ++step) {
      for (int64_t rank = 0; rank < ranks; ++rank) {
        for (const auto& batch :
             data::plan_step(with, {.batch_size = kBatch, .rank = rank, .world_size = ranks}, step)) {
          for (size_t i = 0; i < batch.rows.size(); ++i) {
            const int64_t was = without.row(batch.positions[i]);
            if (bad.count(was) > 0) {
              ++replaced;
              EXPECT_EQ(bad.count(batch.rows[i]), 0u);
            } else {
              EXPECT_EQ(dataset->row(batch.rows[i]).key, whole->row(was).key);
            }
          }
        }
      }
    }
  }
  EXPECT_GT(replaced, 5 * int64_t(bad.size()));  // three times two epochs, less the last incomplete step
}

// The autoencoder meets bad images while it trains; extraction finds the same ones with 1, 2 and 4
// processes.
TEST_F(SpoiledData, OneLedgerForAnyNumberOfProcesses) {
  write_text(*folder_ / "run.yaml", fmt::format(R"(
run: base
device: cpu
autoencoder: {{block_out_channels: [8, 8], layers_per_block: 1, norm_num_groups: 4}}
text_encoder: {{d_model: 32, num_layers: 1, num_heads: 4, d_ff: 32, max_tokens: 16}}
transformer: {{patch_size: 2, hidden_size: 36, depth: 1, num_heads: 4}}
features: {{shard_megabytes: 1}}
sources:
  - {{name: spoiled, type: image_folder, path: {}, missing_caption: skip, missing_caption_share: 0.01, quarantine_budget: 0.05}}
stages:
  - {{name: autoencoder, objective: autoencoder, source: spoiled, resolution: 32, steps: 4, batch_size: 8, gradient_clip: 1}}
  - {{name: text, objective: text_conditional, source: spoiled, resolution: 32, steps: 2, batch_size: 8, gradient_clip: 1, samples: {{num_steps: 1}}}}
)",
                                                (*folder_ / "spoiled/pictures").string()));
  const auto trained = run_pixart({"train", "run.yaml", "--stage", "autoencoder"}, folder_->path());
  ASSERT_EQ(trained.code, 0) << trained.output;
  std::string ledger, manifest;
  for (const int processes : {1, 2, 4}) {
    const std::string folder = fmt::format("features-{}", processes);
    std::vector<std::unique_ptr<Process>> all;
    for (int i = 0; i < processes; ++i)
      all.push_back(std::make_unique<Process>(
          std::vector<std::string>{"extract", "run.yaml", "--set", "features.path=" + folder},
          folder_->path()));
    for (auto& process : all) {
      const auto result = process->wait();
      ASSERT_EQ(result.code, 0) << result.output;
    }
    const fs::path set = *folder_ / folder / "spoiled-latents-32";
    if (processes == 1) {
      ledger = read_file(set / "quarantine.jsonl");
      manifest = read_file(set / "manifest.json");
      EXPECT_GT(std::count(ledger.begin(), ledger.end(), '\n'), 40);
    }
    EXPECT_EQ(read_file(set / "quarantine.jsonl"), ledger) << processes << " processes";
    EXPECT_EQ(read_file(set / "manifest.json"), manifest) << processes << " processes";
  }
  const auto text = run_pixart({"train", "run.yaml", "--set", "features.path=features-4"}, folder_->path());
  EXPECT_EQ(text.code, 0) << text.output;
  const std::string quarantine = read_file(*folder_ / "base/quarantine/spoiled.jsonl");
  EXPECT_EQ(size_t(std::count(quarantine.begin(), quarantine.end(), '\n')),
            expected_rows(*folder_ / "spoiled").size());
}

}  // namespace
}  // namespace pixart::testing
