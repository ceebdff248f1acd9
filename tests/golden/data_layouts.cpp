// Golden kind source_layout: sources in Parquet and MDS that other packages wrote, also damaged ones.
#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>

#include "golden.h"
#include "parquet_library.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/data/dataset.h"
#include "pixart/formats/hash.h"

namespace pixart::data {
namespace {

using nlohmann::json;
using testing::golden_cases;
using testing::GoldenCase;

SourceConfig config_of(const GoldenCase& c) {
  SourceConfig config;
  config.name = "s";
  config.type = c.config().at("type");
  config.path = (c.folder / c.config().at("path").get<std::string>()).lexically_normal();
  config.image_column = c.config().value("image_column", "");
  config.label_column = c.config().value("label_column", "");
  config.key_column = c.config().value("key_column", "");
  for (const auto& kind : c.config().value("captions", json::array())) {
    CaptionConfig caption{
        .name = kind.at("name"), .weight = kind.value("weight", 1.0), .column = {}, .from = {}};
    caption.column = kind.value("column", "");
    if (kind.contains("from")) caption.from = c.folder / kind["from"].get<std::string>();
    config.captions.push_back(caption);
  }
  return config;
}

// The reason why the sample cannot be used, found when it is read; "" if it can.
std::string fault_of(const Dataset& dataset, int64_t row, std::string& pixels) {
  try {
    const Image image = dataset.image(row);
    pixels = formats::sha256({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()});
    return "";
  } catch (const BadSample& bad) {
    return std::string(to_string(bad.rejection().reason));
  }
}

// As case.json describes it.
json describe(const Dataset& dataset, int64_t index, const json& want) {
  const Row row = dataset.row(index);
  json got = {{"key", row.key}, {"label", row.label}, {"captions", json::array()}};
  for (const auto& caption : row.captions) got["captions"].push_back(caption.name + ": " + caption.text);
  for (const auto& rejection : dataset.rejected())
    if (rejection.row == index) got["reason"] = std::string(to_string(rejection.reason));
  if (got.contains("reason")) {  // labels of rejected rows do not matter
    got["label"] = want.at("label"), got["captions"] = want.at("captions");
    return got;
  }
  std::string pixels;
  const std::string fault = fault_of(dataset, index, pixels);
  if (fault.empty())
    got["pixels"] = pixels;
  else
    got["fault"] = fault;
  return got;
}

// As they were before these sources had an index: features that were made then stay valid.
const std::map<std::string, std::string> kFingerprints = {
    {"mds_mixed", "d6283686e04e1fe41879b662f074b63969e2dc5832a79b49c6a869e4c06184b0"},
    {"parquet_huggingface", "976c1c99f779dd95b6ceb67298b2c0a349ff3a2b9f6052ab1f11b53f7a7211c2"},
    {"parquet_paths", "a7c17267f76f591feb0afdae2927eeb4f1ec2be5146b2b9f8cb781bf8282c937"}};

void expect_rows(const Dataset& dataset, const json& rows) {
  ASSERT_EQ(dataset.size(), int64_t(rows.size()));
  for (int64_t i = 0; i < dataset.size(); ++i)
    EXPECT_EQ(describe(dataset, i, rows[size_t(i)]), rows[size_t(i)]);
  // Neither the order of reading nor what was read before matters.
  for (int64_t i = dataset.size() - 1; i >= 0; i -= 2)
    EXPECT_EQ(describe(dataset, i, rows[size_t(i)]), rows[size_t(i)]);
}

// The index is made, and mapped by the next start.
void expect_same_by_index(const SourceConfig& config, const Dataset& listed, const json& rows) {
  const auto folder =
      std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_index_{}", process_id());
  for (int start = 0; start < 2; ++start) {
    const auto dataset = open_dataset(config, {.folder = folder, .least_rows = 1, .shared = {}});
    EXPECT_EQ(dataset->fingerprint(), listed.fingerprint());
    EXPECT_EQ(captions_fingerprint(*dataset), captions_fingerprint(listed));
    expect_rows(*dataset, rows);
  }
  EXPECT_TRUE(std::filesystem::exists(folder / (config.name + ".index")));
  std::filesystem::remove_all(folder);
}

bool has_parquet() {
  try {
    return parquet_plugin().version == kParquetPluginVersion;
  } catch (const UserError&) {
    return false;
  }
}

TEST(Golden, SourceLayouts) {
  const bool reads_parquet = has_parquet();
  for (const auto& c : golden_cases("source_layout")) {
    SCOPED_TRACE(c.folder.filename());
    const SourceConfig config = config_of(c);
    if (config.type == "parquet" && !reads_parquet) continue;
    const json& about = c.json;
    try {
      const auto dataset = open_dataset(config);
      EXPECT_FALSE(about.contains("error")) << "not refused";
      EXPECT_EQ(json(dataset->class_names()), about.at("class_names"));
      expect_rows(*dataset, about.at("rows"));
      if (const auto known = kFingerprints.find(c.folder.filename()); known != kFingerprints.end()) {
        EXPECT_EQ(dataset->fingerprint(), known->second);
      }
      expect_same_by_index(config, *dataset, about.at("rows"));
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(about.value("error", "no error")));
    }
  }
  if (!reads_parquet) GTEST_SKIP() << "built without Arrow, so that only MDS was read";
}

// Whatever a byte becomes, rows are read, rejected or refused.
TEST(Golden, SourceLayoutsWithDamagedBytes) {
  if (!has_parquet()) GTEST_SKIP() << "built without Arrow";
  const auto folder =
      std::filesystem::path(::testing::TempDir()) / fmt::format("pixart_layouts_{}", process_id());
  std::filesystem::create_directories(folder);
  int64_t num_damaged = 0;
  for (const auto& c : golden_cases("source_layout")) {
    if (c.name != "parquet_pages") continue;
    SourceConfig config = config_of(c);
    const std::string whole = read_file(config.path);
    config.path = folder / "pages.parquet";
    for (size_t at = 0; at < whole.size(); at += 61) {
      std::string bytes = whole;
      bytes[at] = char(~bytes[at]);
      write_file_atomically(config.path, bytes);
      try {
        const auto dataset = open_dataset(config);
        num_damaged += int64_t(dataset->rejected().size());
        for (int64_t i = 0; i < dataset->size(); ++i) dataset->bytes(i);
      } catch (const BadSample&) {
        ++num_damaged;
      } catch (const UserError&) {
        ++num_damaged;
      }
    }
  }
  std::filesystem::remove_all(folder);
  EXPECT_GT(num_damaged, 20);
}

}  // namespace
}  // namespace pixart::data
