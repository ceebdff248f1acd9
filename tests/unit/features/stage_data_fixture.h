// Two sources of a stage, with feature sets where they are asked for.
#pragma once
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "feature_damage.h"
#include "pixart/base/env.h"
#include "pixart/base/random.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/features/damaged_features.h"
#include "pixart/features/feature_reader.h"
#include "pixart/features/stage_data.h"
#include "plain_data.h"

namespace pixart::features {
namespace fs = std::filesystem;

using pixart::testing::kPlainChannels;
using pixart::testing::plain_caption_work;
using pixart::testing::plain_features;
using pixart::testing::plain_latent_work;
using pixart::testing::plain_moments;
using pixart::testing::PlainDataset;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kChannels = 3, kTokens = 16;

class StageDataTest : public ::testing::Test {
 protected:
  StageDataTest()
      : folder_(fs::path(::testing::TempDir()) / fmt::format("pixart_stage_data_{}", process_id())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (size_t i = 0; i < 2; ++i) {
      sources_[i].name = i == 0 ? "first" : "second";
      sources_[i].quarantine_budget = 1;
    }
  }
  ~StageDataTest() override { fs::remove_all(folder_); }

  StageParts parts() const {
    StageParts result = {{.source = &sources_[0], .dataset = &first_, .first_row = 0},
                         {.source = &sources_[1], .dataset = &second_, .first_row = first_.size()}};
    return result;
  }
  // The parts with feature sets; a caption is stored with as many tokens as it has bytes and one more.
  StageParts featured(const pixart::testing::PlainLatents& options = {}) const {
    auto result = parts();
    for (auto& part : result) {
      const fs::path latents = folder_ / (part.source->name + "-latents"),
                     captions = folder_ / (part.source->name + "-captions");
      make_feature_set(plain_latent_work(latents, *part.dataset, options));
      make_feature_set(plain_caption_work(captions, *part.dataset, "float32", kChannels));
      part.latents = std::make_shared<data::LatentSet>(latents);
      part.captions = std::make_shared<data::CaptionSet>(captions);
    }
    return result;
  }
  static data::MicroBatch plan_of(std::vector<int64_t> positions, std::vector<int64_t> rows) {
    return {.positions = std::move(positions), .rows = std::move(rows)};
  }
  static data::MicroBatch counting(int64_t count, int64_t rows) {
    data::MicroBatch plan;
    for (int64_t i = 0; i < count; ++i) plan.positions.push_back(i), plan.rows.push_back(i % rows);
    return plan;
  }
  std::vector<std::string> keys_in_quarantine(const std::string& name) const {
    std::ifstream stream(folder_ / "quarantine" / (name + ".jsonl"));
    EXPECT_TRUE(stream) << name;
    std::vector<std::string> keys;
    for (std::string line; std::getline(stream, line);)
      keys.push_back(nlohmann::json::parse(line).at("key").get<std::string>());
    return keys;
  }

  fs::path folder_;
  data::SourceConfig sources_[2];
  PlainDataset first_{10}, second_{6};
};

}  // namespace pixart::features
