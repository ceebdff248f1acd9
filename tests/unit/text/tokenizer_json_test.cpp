#include "tokenizer_json.h"

#include "pixart/text/tokenizer.h"
#include "scratch_folder.h"
#include "small_character_map.h"
#include "spiece_to_json.h"

namespace pixart::text {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::refusal;

const fs::path kGolden =
    fs::path(PIXART_SOURCE_DIR) / "tests" / "golden" / "tokenizer" / "t5_like" / "spiece.model";

// Texts of words, white space, special tokens, and characters that normalisers change.
std::vector<std::string> odd_texts(int64_t count) {
  const std::vector<std::string> parts = {
      "a",     "red",    "circle",       "castle", "the",    "  ",           " ",        "\t",
      "\n",    "\u00a0", "\u3000",       "\u2581", "ﬁsh",    "ＡＢ",         "é",        "e\u0301",
      "½",     "猫",     "\U0001F600",   "\x01",   "\u200b", "</s>",         "<pad>",    "<extra_id_3>",
      "<unk>", "42",     "'s",           "--",     ".",      "\xff",         "\xc2\x85", "ß",
      "İ",     "\u0308", "\u1112\u1161", "™",      "…",      "oil painting", "<",        "ﷺ"};
  std::vector<std::string> texts = {"", " ", "\n"};
  uint32_t state = 1;
  const auto draw = [&state](uint32_t below) {
    return (state = state * 1664525 + 1013904223) / 65536 % below;
  };
  while (int64_t(texts.size()) < count) {
    std::string text;
    for (uint32_t left = 1 + draw(12); left > 0; --left) text += parts[draw(uint32_t(parts.size()))];
    texts.push_back(text);
  }
  return texts;
}

class TokenizerJsonTest : public testing::ScratchFolder {
 protected:
  TokenizerJsonTest() : file_(testing::tokenizer_json(read(kGolden))) {}

  Tokenizer open(const json& file) const { return Tokenizer(write("tokenizer.json", file.dump())); }
  std::string refusal_of(const json& file) const {
    return refusal([&] { open(file); });
  }
  // What the file with another value at `place` is refused for.
  std::string refusal_with(const std::string& place, const json& value) const {
    json changed = file_;
    changed[json::json_pointer(place)] = value;
    return refusal_of(changed);
  }
  static void expect_same(const Tokenizer& got, const Tokenizer& want) {
    EXPECT_EQ(got.vocab_size(), want.vocab_size());
    for (const auto& text : odd_texts(3000))
      ASSERT_EQ(got.encode(text), want.encode(text)) << "'" << text << "'";
  }

  json file_;
};

TEST_F(TokenizerJsonTest, GivesTheTokensOfItsSpieceModel) { expect_same(open(file_), Tokenizer(kGolden)); }

// Its pieces reach over spaces, so its Metaspace may not cut there.
TEST_F(TokenizerJsonTest, GivesTheTokensOfATrainedModel) {
  std::vector<std::string> captions;
  for (const char* colour : {"red", "green", "blue"})
    for (const char* shape : {"circle", "square", "castle"})
      captions.push_back(fmt::format("a {} {} above the oil painting", colour, shape));
  train_tokenizer(captions, 200, folder_ / "spiece.model");
  json file = testing::tokenizer_json(read(folder_ / "spiece.model"), 7);
  file["pre_tokenizer"]["split"] = false;
  expect_same(open(file), Tokenizer(folder_ / "spiece.model", 7));
}

TEST_F(TokenizerJsonTest, OlderAndNewerLayoutsOfTheSame) {
  const json map = file_["normalizer"]["normalizers"][0], strip = file_["normalizer"]["normalizers"][1];
  const json join = {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}};
  const json split = {{"type", "WhitespaceSplit"}};
  const json old_mark = {{"type", "Metaspace"}, {"replacement", "▁"}, {"add_prefix_space", true}};
  const auto sequence = [](const char* list, const json& steps) {
    return json{{"type", "Sequence"}, {list, steps}};
  };
  const json words = sequence("pretokenizers", json::array({split, old_mark}));
  const Tokenizer want(kGolden);
  for (const auto& [normalizer, pre_tokenizer] : std::vector<std::pair<json, json>>{
           {map, words},
           {sequence("normalizers", json::array({map})), words},
           {sequence("normalizers", json::array({map, join})), words},
           {sequence("normalizers", json::array({map, strip, join})), old_mark},
           {file_["normalizer"], sequence("pretokenizers", json::array({old_mark}))}}) {
    json file = file_;
    file["normalizer"] = normalizer;
    file["pre_tokenizer"] = pre_tokenizer;
    expect_same(open(file), want);
  }
}

// transformers 4 writes both, for tokenizers made of spiece.model.
TEST_F(TokenizerJsonTest, TheFirstWordGetsItsMarkWhateverTheFileSays) {
  const Tokenizer want(kGolden);
  for (const char* scheme : {"first", "never"}) {
    file_["pre_tokenizer"]["prepend_scheme"] = scheme;
    ::testing::internal::CaptureStderr();
    const Tokenizer got = open(file_);
    EXPECT_EQ(::testing::internal::GetCapturedStderr().find("prepend_scheme 'never'") != std::string::npos,
              std::string_view(scheme) == "never");
    expect_same(got, want);
  }
}

TEST_F(TokenizerJsonTest, WithoutACharacterMapWordsAreOnlyMarked) {
  file_["normalizer"] = nullptr;
  file_["pre_tokenizer"] = {{"type", "Sequence"},
                            {"pretokenizers", {{{"type", "WhitespaceSplit"}}, file_["pre_tokenizer"]}}};
  const Tokenizer got = open(file_), spiece(kGolden);
  for (const char* text : {"\n a  red\u3000castle\u2028", "a red castle", "a</s> red  castle"})
    EXPECT_EQ(got.encode(text), spiece.encode(text)) << text;
  EXPECT_NE(got.encode("ﬁsh"), spiece.encode("ﬁsh"));
  EXPECT_THAT(got.encode(" \xc2\x85 "), ElementsAre(1));
}

TEST(MarkedWords, AreThoseOfWhitespaceSplitAndMetaspace) {
  EXPECT_EQ(marked_words(""), "");
  EXPECT_EQ(marked_words(" \t\u3000"), "");
  EXPECT_EQ(marked_words(" a\xc2\x85"
                         "b\u00a0 cd "),
            "▁a▁b▁cd");
  EXPECT_EQ(marked_words("▁a b▁c ▁ ▁▁d"), "▁a▁b▁c▁▁▁d");
  EXPECT_EQ(marked_words("a\x1c"
                         "b"),
            "▁a\x1c"
            "b");  // white space for Python only
}

TEST_F(TokenizerJsonTest, SentinelsThatOnlyAreAddedTokens) {
  const Tokenizer spiece(kGolden, 3);
  const int64_t first = spiece.vocab_size() - 3;
  json file = testing::tokenizer_json(read(kGolden), 0);
  for (int64_t k = 0; k < 3; ++k)
    file["added_tokens"].push_back(testing::added_token(first + k, fmt::format("<extra_id_{}>", k)));
  const Tokenizer upwards = open(file);
  EXPECT_EQ(upwards.vocab_size(), first + 3);
  EXPECT_THAT(upwards.encode("<extra_id_0><extra_id_2>"), ElementsAre(first, first + 2, 1));
  EXPECT_EQ(upwards.encode("<extra_id_3>"), spiece.encode("<extra_id_3>"));  // a text
  for (int64_t k = 0; k < 3; ++k) file["added_tokens"][size_t(3 + k)]["id"] = first + 2 - k;
  expect_same(open(file), spiece);
  file["added_tokens"][4]["content"] = "<extra_id_9>";
  EXPECT_THAT(refusal_of(file), HasSubstr("3 tokens <extra_id_...>, but not <extra_id_1>"));
}

TEST_F(TokenizerJsonTest, FolderWithEitherFile) {
  const fs::path encoder = folder_ / "text_encoder", sister = folder_ / "tokenizer";
  fs::create_directories(encoder);
  fs::create_directories(sister);
  EXPECT_EQ(tokenizer_file(encoder), std::nullopt);
  EXPECT_THAT(refusal([&] { Tokenizer tokenizer(encoder); }),
              AllOf(HasSubstr("spiece.model and tokenizer.json are missing"), HasSubstr(encoder.string())));
  write("tokenizer/tokenizer.json", file_.dump());
  write("tokenizer/tokenizer_config.json", R"({"extra_ids": 5})");  // the file knows better
  EXPECT_EQ(tokenizer_file(sister), sister / "tokenizer.json");
  EXPECT_TRUE(fs::equivalent(tokenizer_folder(encoder), sister));
  expect_same(Tokenizer(sister), Tokenizer(kGolden));
  write("text_encoder/tokenizer.json", "not read");
  EXPECT_EQ(tokenizer_folder(encoder), encoder);
  fs::copy(kGolden, sister / "spiece.model");  // comes before tokenizer.json, wherever that is
  EXPECT_EQ(tokenizer_file(sister), sister / "spiece.model");
  EXPECT_TRUE(fs::equivalent(tokenizer_folder(encoder), sister));
  write("tokenizer/tokenizer.json", "not read");
  EXPECT_EQ(Tokenizer(sister).vocab_size(), Tokenizer(kGolden, 5).vocab_size());
}

TEST_F(TokenizerJsonTest, TheNameOfTheFileDoesNotMatter) {
  expect_same(Tokenizer(write("words", file_.dump())), Tokenizer(kGolden));
}

TEST_F(TokenizerJsonTest, OtherModelsAreRefused) {
  EXPECT_THAT(refusal_with("/model/type", "BPE"),
              AllOf(HasSubstr("'BPE', expected 'Unigram'"), HasSubstr("tokenizer.json: "),
                    HasSubstr("spiece.model")));
  EXPECT_THAT(refusal_with("/model/type", "WordPiece"), HasSubstr("'WordPiece', expected 'Unigram'"));
  EXPECT_THAT(refusal_with("/model", nullptr), HasSubstr("missing, expected 'Unigram'"));
  EXPECT_THAT(refusal_with("/model/unk_id", 0), HasSubstr("unk_id of its model is 0"));
  EXPECT_THAT(refusal_with("/model/unk_id", nullptr), HasSubstr("unk_id of its model is missing"));
  EXPECT_THAT(refusal_with("/model/byte_fallback", true), HasSubstr("byte_fallback of its model is true"));
  EXPECT_THAT(refusal_with("/model/vocab/0/0", "<blank>"), HasSubstr("is not a T5 vocabulary"));
}

TEST_F(TokenizerJsonTest, DamagedVocabulariesAreRefused) {
  EXPECT_THAT(refusal_with("/model/vocab", json::object()), HasSubstr("vocab is an object, expected a list"));
  EXPECT_THAT(refusal_with("/model/vocab", json::array()), HasSubstr("<extra_id_0> has the id"));
  for (const char* entry :
       {"5", "[]", R"(["x"])", R"(["x", null])", R"(["x", "-1"])", R"([1, -1])", R"(["x", 1, 2])"})
    EXPECT_THAT(refusal_with("/model/vocab/5", json::parse(entry)), HasSubstr("entry 5 of its vocabulary"))
        << entry;
  EXPECT_THAT(refusal_with("/model/vocab/5/0", ""), HasSubstr("piece 5 has 0 bytes"));
  EXPECT_THAT(refusal_with("/model/vocab/5/0", std::string(2000, 'x')), HasSubstr("piece 5 has 2000 bytes"));
  EXPECT_THAT(refusal_with("/model/vocab/5/0", std::string("x\0y", 3)), HasSubstr("without NUL"));
  EXPECT_THAT(refusal_with("/model/vocab/5/0", file_["model"]["vocab"][4][0]),
              HasSubstr("pieces 4 and 5 are both"));
  EXPECT_THAT(refusal_with("/model/vocab/5/0", "x▁y"), HasSubstr("piece 5 ('x▁y') has a ▁ inside"));
  EXPECT_THAT(refusal_with("/model/vocab/5/1", 1e300), HasSubstr("is not a log probability"));
}

TEST_F(TokenizerJsonTest, OtherSpecialTokensAreRefused) {
  EXPECT_THAT(refusal_with("/added_tokens/0/id", 7), HasSubstr("'<pad>' has the id 7, expected 0"));
  EXPECT_THAT(refusal_with("/added_tokens/0/id", -1), HasSubstr("the text '<pad>' and the id -1"));
  EXPECT_THAT(refusal_with("/added_tokens/0", 5), HasSubstr("the text '' and the id missing"));
  EXPECT_THAT(refusal_with("/added_tokens/3/content", "<mask>"), HasSubstr("'<mask>' is not one of T5's"));
  EXPECT_THAT(refusal_with("/added_tokens/3/id", 5), HasSubstr("'<extra_id_99>' has the id 5"));
  EXPECT_THAT(refusal_with("/added_tokens", "x"), HasSubstr("added_tokens is 'x', expected a list"));
  json twice = testing::tokenizer_json(read(kGolden), 0);
  const auto first = int64_t(twice["model"]["vocab"].size());
  for (const char* text : {"<extra_id_0>", "<extra_id_1>"})
    twice["added_tokens"].push_back(testing::added_token(first, text));
  EXPECT_THAT(refusal_of(twice), HasSubstr("<extra_id_1> has the id"));
}

TEST_F(TokenizerJsonTest, OtherNormalizersAreRefused) {
  EXPECT_THAT(refusal_with("/normalizer", nullptr), HasSubstr("begins with nothing"));
  EXPECT_THAT(refusal_with("/normalizer", {{"type", "NFKC"}}), HasSubstr("begins with 'NFKC'"));
  const json nmt = json::array({{{"type", "Nmt"}}, {{"type", "NFKC"}}});
  EXPECT_THAT(refusal_with("/normalizer/normalizers", nmt), HasSubstr("begins with 'Nmt'"));
  EXPECT_THAT(refusal_with("/normalizer/normalizers/0", file_["normalizer"]),
              HasSubstr("begins with 'Sequence'"));
  EXPECT_THAT(refusal_with("/normalizer/normalizers/1/type", "Lowercase"), HasSubstr("the step 'Lowercase'"));
  EXPECT_THAT(refusal_with("/normalizer/normalizers/1/strip_right", false), HasSubstr("the step 'Strip'"));
  EXPECT_THAT(refusal_with("/normalizer/normalizers/2/pattern", {{"String", "  "}}),
              HasSubstr("the step 'Replace'"));
  EXPECT_THAT(refusal_with("/normalizer/normalizers/2/content", "_"), HasSubstr("the step 'Replace'"));
  EXPECT_THAT(refusal_with("/normalizer", file_["normalizer"]["normalizers"][0]),
              HasSubstr("keeps white space"));
}

TEST_F(TokenizerJsonTest, OtherWordsAndEndsAreRefused) {
  EXPECT_THAT(refusal_with("/pre_tokenizer", nullptr), HasSubstr("has 0 steps"));
  EXPECT_THAT(refusal_with("/pre_tokenizer/type", "ByteLevel"), HasSubstr("'ByteLevel' is not supported"));
  for (const json& scheme : {json("last"), json(), json(true)})
    EXPECT_THAT(refusal_with("/pre_tokenizer/prepend_scheme", scheme), HasSubstr("expected 'always'"))
        << scheme;
  for (const char* scheme : {"first", "never"}) {  // only the first of all words would have a mark, or none
    json mark = file_["pre_tokenizer"];
    mark["prepend_scheme"] = scheme;
    const json steps = json::array({{{"type", "WhitespaceSplit"}}, mark});
    EXPECT_THAT(refusal_with("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}),
                HasSubstr("expected 'always'"));
  }
  EXPECT_THAT(refusal_with("/pre_tokenizer/replacement", "_"), HasSubstr("'_', expected '▁'"));
  EXPECT_THAT(refusal_with("/pre_tokenizer/split", 3), HasSubstr("split of its Metaspace is 3"));
  EXPECT_THAT(refusal_with("/post_processor", nullptr), HasSubstr("post-processor is missing"));
  EXPECT_THAT(refusal_with("/post_processor/single/1", file_["post_processor"]["single"][0]),
              HasSubstr("exactly </s>"));
  EXPECT_THAT(refusal_with("/post_processor/special_tokens/<~1s>/ids", {2}), HasSubstr("exactly </s>"));
}

TEST_F(TokenizerJsonTest, DamagedCharacterMapsAreRefused) {
  const std::string place = "/normalizer/normalizers/0/precompiled_charsmap";
  EXPECT_THAT(refusal_with(place, 5), HasSubstr("is 5, expected a text"));
  EXPECT_THAT(refusal_with(place, "AAAA!"), HasSubstr("not base64"));
  EXPECT_THAT(refusal_with(place, ""), HasSubstr("is damaged: it has only 0 bytes"));
  const std::string map = testing::parts_of(read(kGolden)).character_map;
  EXPECT_THAT(refusal_with(place, to_base64(map.substr(0, map.size() / 2))),
              HasSubstr("is damaged: its trie has"));
  const std::string small = testing::SmallCharacterMap().bytes();
  EXPECT_THAT(refusal_with(place, to_base64(small)), HasSubstr("keeps U+2581"));
}

// Whatever the check of a map lets through, SentencePiece can use.
TEST_F(TokenizerJsonTest, ChangedCharacterMapsAreUsedOrRefused) {
  const std::string map = testing::parts_of(read(kGolden)).character_map;
  int64_t num_refused = 0;
  for (size_t i = 0; i < 30; ++i) {
    std::string changed = map;
    for (size_t j = 0; j < 2000; ++j)
      changed[(4 + (i * 2000 + j) * 7919) % map.size()] ^= char(1U << (i % 8));
    file_["normalizer"]["normalizers"][0]["precompiled_charsmap"] = to_base64(changed);
    try {
      const Tokenizer tokenizer = open(file_);
      for (const auto& text : odd_texts(50)) EXPECT_EQ(tokenizer.encode(text).back(), 1);
    } catch (const UserError&) {
      ++num_refused;
    }
  }
  EXPECT_GT(num_refused, 0);
}

TEST_F(TokenizerJsonTest, CutFilesAndOtherTextsAreRefused) {
  const std::string whole = file_.dump();
  for (const size_t size : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 1})
    EXPECT_THAT(refusal([&] { Tokenizer t(write("tokenizer.json", whole.substr(0, size))); }),
                HasSubstr("it is not a JSON object"))
        << size;
  for (const char* text : {"[]", "null", "{\"model\": NaN}", "{\"a\": 1e999}", "{\"a\": \"\xff\"}"})
    EXPECT_THAT(refusal([&] { Tokenizer t(write("tokenizer.json", text)); }),
                HasSubstr("it is not a JSON object"))
        << text;
  const std::string deep = "{\"model\":" + std::string(1 << 20, '[') + std::string(1 << 20, ']') + "}";
  EXPECT_THAT(refusal([&] { Tokenizer t(write("tokenizer.json", deep)); }),
              HasSubstr("missing, expected 'Unigram'"));
  EXPECT_THAT(refusal([&] { Tokenizer t(write("tokenizer.json", std::string(40 << 20, ' '))); }),
              HasSubstr("at most"));
}

}  // namespace
}  // namespace pixart::text
