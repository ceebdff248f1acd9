// Golden kinds tokenizer, clip_tokenizer, bert_tokenizer, spacy_tagger and clean_caption.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "golden.h"
#include "pixart/text/bert_tokenizer.h"
#include "pixart/text/clean_caption.h"
#include "pixart/text/clip_tokenizer.h"
#include "pixart/text/spacy_tagger.h"
#include "pixart/text/tokenizer.h"
#include "scratch_folder.h"
#include "spiece_to_json.h"

namespace pixart::text {
namespace {

namespace fs = std::filesystem;
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

fs::path spiece_of(const GoldenCase& c) { return c.folder / c.config().at("model").get<std::string>(); }

void check_tokenizer(const GoldenCase& c, const fs::path& file) {
  const auto& config = c.config();
  const Tokenizer tokenizer(file, config.at("extra_ids").get<int64_t>());
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
    check_tokenizer(c, spiece_of(c));
  }
}

// A model without a character map has no such file that says what its normaliser does.
class GoldenTokenizerJson : public testing::ScratchFolder {};

TEST_F(GoldenTokenizerJson, GivesTheTokensOfItsSpieceModel) {
  int64_t num_checked = 0;
  for (const auto& c : golden_cases("tokenizer")) {
    if (c.config().at("normalizer") == "identity") continue;
    SCOPED_TRACE(c.name);
    const auto extra_ids = c.config().at("extra_ids").get<int64_t>();
    check_tokenizer(c,
                    write("tokenizer.json", testing::tokenizer_json(read(spiece_of(c)), extra_ids).dump()));
    ++num_checked;
  }
  EXPECT_GT(num_checked, 0);
}

// T5 v1.1's vocabulary may not be part of the project.
TEST_F(GoldenTokenizerJson, TheRealVocabulary) {
  const fs::path shared = fs::path(PIXART_SOURCE_DIR) / ".." / "shared";
  const fs::path real = shared / "real" / "t5_v1_1_tokenizer" / "tokenizer.json";
  if (!fs::exists(real))
    GTEST_SKIP() << real << " is not on this machine: the real vocabulary is not checked";
  for (const auto& c : testing::golden_cases_in(shared / "golden_real", "tokenizer")) {
    SCOPED_TRACE(c.name);
    check_tokenizer(c, spiece_of(c));
    check_tokenizer(c, real);
  }
}

std::vector<int64_t> ids_of(const at::Tensor& row, int64_t length) {
  const auto* begin = row.const_data_ptr<int64_t>();
  return {begin, begin + length};
}

void check_clip_line(const ClipTokenizer& tokenizer, const json& line, ClipCleaning cleaning,
                     const std::vector<int64_t>& want, int64_t uncut, int64_t max_length) {
  const auto text = line.at("text").get<std::string>();
  EXPECT_EQ(int64_t(tokenizer.encode(text, cleaning).size()), uncut) << line;
  const Tokens tokens = tokenizer.encode_batch({text}, max_length, cleaning);
  const int64_t length = tokens.mask.sum().item<int64_t>();
  EXPECT_EQ(ids_of(tokens.ids.select(0, 0), length), want) << line;
  EXPECT_EQ(tokens.ids.select(0, 0).slice(0, length).count_nonzero().item<int64_t>(), 0) << line;
}

// A line has other ids for transformers only where both differ.
void check_clip_tokenizer(const GoldenCase& c, const fs::path& vocabulary) {
  const ClipTokenizer tokenizer(vocabulary);
  EXPECT_EQ(tokenizer.vocab_size(), c.config().at("vocab_size").get<int64_t>());
  const auto max_length = c.config().at("max_length").get<int64_t>();
  for (const json& line : lines_of(c)) {
    const auto ids = line.at("ids").get<std::vector<int64_t>>();
    const auto uncut = line.at("uncut").get<int64_t>();
    check_clip_line(tokenizer, line, ClipCleaning::kOpenAi, ids, uncut, max_length);
    check_clip_line(tokenizer, line, ClipCleaning::kHuggingFace, line.value("hf_ids", ids),
                    line.value("hf_uncut", uncut), max_length);
  }
}

TEST(GoldenClipTokenizer, BothCleaningsAndBothLayouts) {
  int64_t num_checked = 0;
  for (const auto& c : golden_cases("clip_tokenizer")) {
    if (!c.config().contains("vocabulary")) continue;
    SCOPED_TRACE(c.name);
    check_clip_tokenizer(c, c.folder / c.config().at("vocabulary").get<std::string>());
    check_clip_tokenizer(c, c.folder / c.config().at("fast").get<std::string>());
    ++num_checked;
  }
  EXPECT_GT(num_checked, 0);
}

// The published vocabulary is not part of the project; its ids are.
TEST(GoldenClipTokenizer, TheRealVocabulary) {
  for (const auto& c : golden_cases("clip_tokenizer")) {
    if (!c.config().contains("real")) continue;
    const fs::path real =
        fs::path(PIXART_SOURCE_DIR) / ".." / "shared" / "real" / c.config().at("real").get<std::string>();
    if (!fs::exists(real))
      GTEST_SKIP() << real << " is not on this machine: the real vocabulary is not checked";
    check_clip_tokenizer(c, real);
  }
}

TEST(GoldenBertTokenizer, OfBothFiles) {
  for (const auto& c : golden_cases("bert_tokenizer"))
    for (const char* key : {"vocabulary", "fast"}) {
      const BertTokenizer tokenizer(c.folder / c.config().at(key).get<std::string>());
      EXPECT_EQ(tokenizer.vocab_size(), c.config().at("vocab_size").get<int64_t>());
      for (const json& line : lines_of(c)) {
        const auto text = line.at("text").get<std::string>();
        const auto ids = line.at("ids").get<std::vector<int64_t>>();
        EXPECT_EQ(tokenizer.encode(text), ids) << line;
        EXPECT_EQ(tokenizer.encode(text, c.config().at("max_length").get<int64_t>()), line.value("cut", ids))
            << line;
      }
    }
}

TEST(GoldenSpacyTagger, WordsTagsPartsAndTexts) {
  for (const auto& c : golden_cases("spacy_tagger")) {
    SCOPED_TRACE(c.name);
    const SpacyTagger tagger(c.folder / c.config().at("pipeline").get<std::string>());
    EXPECT_EQ(tagger.name(), c.config().at("name").get<std::string>());
    EXPECT_EQ(tagger.version(), c.config().at("version").get<std::string>());
    for (const json& line : lines_of(c)) {
      const auto text = line.at("text").get<std::string>();
      json words = json::array();
      const auto tagged = tagger.words(text);
      for (const auto& word : tagged) words.push_back({word.text, word.tag, word.part, word.begin});
      EXPECT_EQ(words, line.at("words")) << text;
      EXPECT_EQ(without_adjectives(tagged), line.at("without_adjectives").get<std::string>()) << text;
    }
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
