// Vocabularies of BERT that are refused; golden cases hold the ids.
#include "pixart/text/bert_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scratch_folder.h"

namespace pixart::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BertFiles : public testing::ScratchFolder {
 protected:
  std::string refusal_of(const std::string& name, const std::string& bytes) const {
    const auto file = write(name, bytes);
    return testing::refusal([&] { const BertTokenizer tokenizer(file); });
  }
};

TEST_F(BertFiles, OfOtherContentAreRefused) {
  EXPECT_THAT(testing::refusal([&] { const BertTokenizer tokenizer(folder_); }),
              HasSubstr("neither vocab.txt nor tokenizer.json"));
  EXPECT_THAT(refusal_of("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n"), HasSubstr("no token [SEP]"));
  EXPECT_THAT(refusal_of("vocab.txt", "[PAD]\n\n[UNK]\n"), HasSubstr("line 2 is empty"));
  EXPECT_THAT(refusal_of("vocab.txt", "[PAD]\na\na\n"), HasSubstr("line 3 has the token 'a' again"));
  EXPECT_THAT(refusal_of("vocab.txt", "[CLS]\n[PAD]\n[UNK]\n[SEP]\n"), HasSubstr("[PAD] has the number 1"));
  EXPECT_THAT(refusal_of("t.json", "{"), HasSubstr("cut or damaged"));
  EXPECT_THAT(refusal_of("t.json", R"({"model": {"type": "BPE"}})"), HasSubstr("model.type is \"BPE\""));
  const std::string head = R"({"normalizer": {"type": "BertNormalizer", "clean_text": true,
      "handle_chinese_chars": true, "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"},
      "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": )";
  EXPECT_THAT(refusal_of("t.json", head + R"({"a": -1}}})"), HasSubstr("the number of the token 'a' is -1"));
  EXPECT_THAT(refusal_of("t.json", head + R"({"a": 1, "b": 1}}})"),
              HasSubstr("two tokens have the number 1"));
  EXPECT_THAT(refusal_of("t.json", head + "3}}"), HasSubstr("not an object"));
}

TEST_F(BertFiles, OfWindowsAreRead) {
  const BertTokenizer tokenizer(write("vocab.txt", "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\ncat\r\n\r\n"));
  EXPECT_EQ(tokenizer.vocab_size(), 5);
  EXPECT_THAT(tokenizer.encode("A Cat"), ElementsAre(2, 1, 4, 3));
  EXPECT_THAT(tokenizer.encode("cat cat cat", 3), ElementsAre(2, 4, 3));
  EXPECT_EQ(tokenizer.id_of("dog"), std::nullopt);
  EXPECT_THAT(tokenizer.encode("cat\xFF [MASK]"), ElementsAre(2, 4, 1, 1, 1, 3))
      << "this vocabulary lacks [MASK]";
}

}  // namespace
}  // namespace pixart::text
