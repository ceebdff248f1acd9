// Golden kinds tokenizer and clean_caption.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "golden.h"
#include "pixart/text/clean_caption.h"
#include "pixart/text/tokenizer.h"

namespace pixart::text {
namespace {

using nlohmann::json;
using testing::expect_golden;
using testing::golden_cases;
using testing::GoldenCase;

std::vector<json> lines_of(const GoldenCase& c) {
  std::ifstream stream(c.folder / c.config().at("cases").get<std::string>());
  std::vector<json> lines;
  for (std::string line; std::getline(stream, line);)
    if (!line.empty()) lines.push_back(json::parse(line));
  if (lines.empty()) throw std::runtime_error(c.kind + "/" + c.name + " has no lines");
  return lines;
}

void check_tokenizer(const GoldenCase& c) {
  const auto& config = c.config();
  const Tokenizer tokenizer(c.folder / config.at("model").get<std::string>(),
                            config.at("extra_ids").get<int64_t>());
  EXPECT_EQ(tokenizer.vocab_size(), config.at("vocab_size").get<int64_t>());
  const auto max_length = config.at("max_length").get<int64_t>();
  std::vector<std::string> texts;
  for (const json& line : lines_of(c)) {
    const auto text = line.at("text").get<std::string>();
    const auto want = line.at("ids").get<std::vector<int64_t>>();
    const auto uncut = line.at("uncut").get<int64_t>();
    const auto whole = tokenizer.encode(text);
    EXPECT_EQ(int64_t(whole.size()), uncut) << line;
    if (uncut <= max_length) {
      EXPECT_EQ(whole, want) << line;
    }
    const Tokens one = tokenizer.encode_batch({text}, max_length);
    EXPECT_EQ(one.uncut.at(0), uncut) << line;
    const int64_t length = one.mask.sum().item<int64_t>();
    const auto got = one.ids[0].slice(0, 0, length).contiguous();
    EXPECT_EQ(std::vector<int64_t>(got.data_ptr<int64_t>(), got.data_ptr<int64_t>() + length), want) << line;
    texts.push_back(text);
  }
  const Tokens all = tokenizer.encode_batch(texts, max_length);
  expect_golden(c, "out.input_ids", all.ids);
  expect_golden(c, "out.attention_mask", all.mask);
}

TEST(GoldenTokenizer, IdsPaddingTruncationAndMask) {
  for (const auto& c : golden_cases("tokenizer")) {
    SCOPED_TRACE(c.name);
    check_tokenizer(c);
  }
}

// Lines that need the repair of wrongly decoded text count like all others: every line has to agree.
TEST(GoldenCleanCaption, EveryLineOnceTwiceAndPlain) {
  for (const auto& c : golden_cases("clean_caption")) {
    SCOPED_TRACE(c.name);
    ASSERT_EQ(c.config().at("applied").get<int>(), 2);
    for (const json& line : lines_of(c)) {
      const auto in = line.at("in").get<std::string>(), out = line.at("out").get<std::string>();
      EXPECT_EQ(clean_caption_twice(in), out) << line;
      EXPECT_EQ(clean_caption(in), line.value("once", out)) << line;
      EXPECT_EQ(plain_caption(in), line.at("plain").get<std::string>()) << line;
    }
  }
}

}  // namespace
}  // namespace pixart::text
