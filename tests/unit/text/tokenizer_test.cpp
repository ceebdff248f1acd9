#include "pixart/text/tokenizer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <limits>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "sentencepiece_model.h"
#include "small_character_map.h"

namespace pixart::text {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Ids = std::vector<int64_t>;

constexpr int64_t kPad = 0, kEnd = 1, kUnknown = 2;

class TokenizerTest : public ::testing::Test {
 protected:
  TokenizerTest() {
    std::string pattern = (fs::temp_directory_path() / "pixart-text-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    train_tokenizer(captions(), 200, model());
  }
  ~TokenizerTest() override { fs::remove_all(folder_); }

  static std::vector<std::string> captions() {
    std::vector<std::string> texts;
    for (const char* colour : {"red", "green", "blue", "yellow"})
      for (const char* shape : {"circle", "square", "triangle", "star"})
        for (const char* place : {"left of", "above", "below", "inside"})
          texts.push_back(std::string("a ") + colour + " " + shape + " " + place + " a small box");
    return texts;
  }
  fs::path model() const { return folder_ / "spiece.model"; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  fs::path folder_;
};

TEST_F(TokenizerTest, IsFoundNextToTheTextEncoderOfAPipeline) {
  for (const std::string number : {"", "_3"}) {
    const fs::path encoder = folder_ / "pipe" / ("text_encoder" + number),
                   sister = folder_ / "pipe" / ("tokenizer" + number);
    fs::create_directories(encoder);
    EXPECT_EQ(tokenizer_folder(encoder), encoder);  // nothing is found
    fs::create_directories(sister);
    fs::copy(model(), sister);
    EXPECT_TRUE(fs::equivalent(tokenizer_folder(encoder), sister));
    EXPECT_TRUE(fs::equivalent(tokenizer_folder(encoder / ""), sister));
    fs::copy(model(), encoder);
    EXPECT_EQ(tokenizer_folder(encoder), encoder);  // its own comes first
  }
}

TEST_F(TokenizerTest, EncodesWithT5sIds) {
  const Tokenizer tokenizer(model());
  const Ids ids = tokenizer.encode("a red circle");
  ASSERT_GE(ids.size(), 2U);
  EXPECT_EQ(ids.back(), kEnd);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kUnknown), 0);
  EXPECT_THAT(tokenizer.encode(""), ElementsAre(kEnd));
  EXPECT_THAT(tokenizer.encode(" \u3000 "), ElementsAre(kEnd));
  EXPECT_NE(tokenizer.encode("a red circle"), tokenizer.encode("a blue circle"));
  EXPECT_GT(tokenizer.vocab_size(), 100);
}

TEST_F(TokenizerTest, UnknownLettersMergeIntoOneUnknown) {
  const Ids ids = Tokenizer(model()).encode("a 猫犬");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kUnknown), 1);
}

TEST_F(TokenizerTest, SpecialTokensInTheText) {
  const Tokenizer tokenizer(model(), 10);
  const int64_t first = tokenizer.vocab_size() - 1;  // <extra_id_0>
  EXPECT_THAT(tokenizer.encode("<extra_id_0>"), ElementsAre(first, kEnd));
  EXPECT_THAT(tokenizer.encode("<extra_id_9><pad><unk></s>"), ElementsAre(first - 9, kPad, kUnknown, kEnd));
  Ids red = tokenizer.encode("red");
  red.pop_back();
  Ids want{first - 1};
  want.insert(want.begin(), red.begin(), red.end());
  want.insert(want.end(), red.begin(), red.end());
  want.push_back(kEnd);
  EXPECT_EQ(tokenizer.encode("red \u3000<extra_id_1> red"), want);
  // No sentinels: unknown number, leading zero, no end.
  for (const char* text : {"<extra_id_10>", "<extra_id_01>", "<extra_id_1", "<extra_id_>", "<extra_id_-1>"})
    EXPECT_EQ(tokenizer.encode(text)[0] < tokenizer.vocab_size() - 10, true) << text;
}

TEST_F(TokenizerTest, PadsCutsAndMasks) {
  const Tokenizer tokenizer(model());
  const Ids whole = tokenizer.encode("a red circle");
  const auto length = int64_t(whole.size());
  const Tokens padded = tokenizer.encode_batch({"a red circle", ""}, length + 2);
  EXPECT_EQ(padded.ids.sizes(), (std::vector<int64_t>{2, length + 2}));
  EXPECT_EQ(padded.ids.scalar_type(), at::kLong);
  EXPECT_EQ(padded.ids[0][length].item<int64_t>(), kPad);
  EXPECT_EQ(padded.mask[0].sum().item<int64_t>(), length);
  EXPECT_EQ(padded.mask[1].sum().item<int64_t>(), 1);
  EXPECT_THAT(padded.uncut, ElementsAre(length, 1));
  const Tokens cut = tokenizer.encode_batch({"a red circle"}, length - 1);
  EXPECT_THAT(cut.uncut, ElementsAre(length));
  EXPECT_EQ(cut.ids[0][length - 2].item<int64_t>(), kEnd);
  EXPECT_EQ(cut.ids[0][0].item<int64_t>(), whole[0]);
  EXPECT_EQ(cut.mask.sum().item<int64_t>(), length - 1);
  EXPECT_EQ(tokenizer.encode_batch({"a red circle"}, 1).ids[0][0].item<int64_t>(), kEnd);
  EXPECT_EQ(tokenizer.encode_batch({}, 4).ids.sizes(), (std::vector<int64_t>{0, 4}));
}

// As transformers does it: the cut leaves a </s> of the text as the last token, and none is added.
TEST_F(TokenizerTest, CutBehindALiteralEnd) {
  const Tokens tokens = Tokenizer(model()).encode_batch({"<pad></s><pad><pad>"}, 3);
  EXPECT_THAT(tokens.uncut, ElementsAre(5));
  EXPECT_EQ(tokens.mask.sum().item<int64_t>(), 2);
  EXPECT_TRUE(at::equal(tokens.ids, at::tensor({kPad, kEnd, kPad}, at::kLong).unsqueeze(0)));
}

TEST_F(TokenizerTest, InvalidUtf8AndLongTexts) {
  const Tokenizer tokenizer(model());
  EXPECT_EQ(tokenizer.encode("red \xff"), tokenizer.encode("red \uFFFD"));
  std::string longest;
  for (int i = 0; i < 20'000; ++i) longest += "red ";
  EXPECT_GE(tokenizer.encode(longest).size(), 20'000U);
}

TEST_F(TokenizerTest, FolderAndItsConfig) {
  const int64_t pieces = Tokenizer(model(), 0).vocab_size();
  EXPECT_EQ(Tokenizer(folder_).vocab_size(), pieces + 100);
  write("tokenizer_config.json", R"({"legacy": true})");
  EXPECT_EQ(Tokenizer(folder_).vocab_size(), pieces + 100);
  write("tokenizer_config.json", R"({"extra_ids": 7})");
  EXPECT_EQ(Tokenizer(folder_).vocab_size(), pieces + 7);
  write("tokenizer_config.json", R"({"extra_ids": "7"})");
  EXPECT_THAT([&] { Tokenizer t(folder_); }, ThrowsMessage<UserError>(HasSubstr("extra_ids is \"7\"")));
  write("tokenizer_config.json", R"({"extra_ids": 9223372036854775808})");
  EXPECT_THAT([&] { Tokenizer t(folder_); }, ThrowsMessage<UserError>(HasSubstr("from 0 to 1000000")));
  write("tokenizer_config.json",
        R"({"extra_ids": )" + std::string(400'000, '[') + std::string(400'000, ']') + "}");
  EXPECT_THAT([&] { Tokenizer t(folder_); }, ThrowsMessage<UserError>(HasSubstr("extra_ids is array")));
  write("tokenizer_config.json", "[");
  EXPECT_THAT([&] { Tokenizer t(folder_); }, ThrowsMessage<UserError>(HasSubstr("tokenizer_config.json")));
}

TEST_F(TokenizerTest, MissingAndBrokenFiles) {
  EXPECT_THAT([&] { Tokenizer t(folder_ / "nothing"); }, ThrowsMessage<UserError>(HasSubstr("nothing")));
  fs::create_directory(folder_ / "empty");
  EXPECT_THAT([&] { Tokenizer t(folder_ / "empty"); }, ThrowsMessage<UserError>(HasSubstr("spiece.model")));
  write("text.model", "this is no model");
  EXPECT_THAT([&] { Tokenizer t(folder_ / "text.model"); },
              ThrowsMessage<UserError>(HasSubstr("not a SentencePiece")));
  write("zero.model", "");
  EXPECT_THAT([&] { Tokenizer t(folder_ / "zero.model"); }, ThrowsMessage<UserError>(HasSubstr("empty")));
  const std::string whole = read_file(model());
  for (const size_t part : {size_t{10}, whole.size() / 2, whole.size() - 1}) {
    write("cut.model", whole.substr(0, part));
    EXPECT_THROW(Tokenizer t(folder_ / "cut.model"), UserError) << part;
  }
}

// SentencePiece would follow the offsets of such a map out of it.
TEST_F(TokenizerTest, CharacterMapsOfModelsAreChecked) {
  std::vector<UnigramSegmenter::Piece> pieces;
  for (const char* text : {"<pad>", "</s>", "<unk>", "\u2581", "b"})
    pieces.push_back({text, -float(pieces.size()), int64_t(pieces.size())});
  testing::SmallCharacterMap map;
  write("good.model", sentencepiece_model(pieces, map.bytes()));
  EXPECT_EQ(Tokenizer(folder_ / "good.model").encode("A"), Tokenizer(folder_ / "good.model").encode("b"));
  map.units[testing::SmallCharacterMap::kRoot] = 0x3FFFFF << 10;
  write("bad.model", sentencepiece_model(pieces, map.bytes()));
  EXPECT_THAT([&] { Tokenizer t(folder_ / "bad.model"); },
              ThrowsMessage<UserError>(HasSubstr("its trie leads out of it")));
  pieces[4].score = std::numeric_limits<float>::quiet_NaN();
  write("nan.model", sentencepiece_model(pieces, ""));
  EXPECT_THAT([&] { Tokenizer t(folder_ / "nan.model"); },
              ThrowsMessage<UserError>(HasSubstr("piece 4 has no finite score")));
}

TEST_F(TokenizerTest, TrainingIsDeterministicAndTolerant) {
  train_tokenizer(captions(), 200, folder_ / "again.model");
  EXPECT_EQ(read_file(model()), read_file(folder_ / "again.model"));
  train_tokenizer(captions(), 30'000, folder_ / "roomy.model");  // more pieces than the texts can give
  EXPECT_GT(Tokenizer(folder_ / "roomy.model", 0).vocab_size(), 20);
  train_tokenizer({"one cat"}, 100, folder_ / "tiny.model");
  EXPECT_GT(Tokenizer(folder_ / "tiny.model").encode("one cat").size(), 1U);
  train_tokenizer({"a \xff cat", "", std::string(5000, 'x')}, 100, folder_ / "odd.model");
  EXPECT_EQ(Tokenizer(folder_ / "odd.model").encode("").size(), 1U);
}

TEST_F(TokenizerTest, TrainingMakesRecurringWordsWholePieces) {
  EXPECT_EQ(Tokenizer(model()).encode("a red circle inside a small box").size(), 8U);
}

TEST_F(TokenizerTest, TrainingErrors) {
  EXPECT_THAT([&] { train_tokenizer({}, 100, folder_ / "x"); },
              ThrowsMessage<UserError>(HasSubstr("no caption")));
  EXPECT_THAT(
      [&] {
        train_tokenizer({" ", ""}, 100, folder_ / "x");
      },
      ThrowsMessage<UserError>(HasSubstr("no caption")));
  EXPECT_THAT([&] { train_tokenizer(captions(), 4, folder_ / "x"); },
              ThrowsMessage<UserError>(HasSubstr("4 pieces")));
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

}  // namespace
}  // namespace pixart::text
