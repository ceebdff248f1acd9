// Pipelines that are refused or damaged; the golden case holds what a good one gives.
#include "pixart/text/spacy_tagger.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "scratch_folder.h"
#include "spacy_words.h"

namespace pixart::text {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

const fs::path kTiny = fs::path(PIXART_SOURCE_DIR) / "tests/golden/spacy_tagger/tiny/pipeline";
constexpr const char* kText = "a red bench, don't (so) Mr. 12km x \u00e4\u00f6";

class Pipeline : public testing::ScratchFolder {
 protected:
  Pipeline() { fs::copy(kTiny, folder_ / "en", fs::copy_options::recursive); }

  std::string bytes(const std::string& name) const { return read(folder_ / "en" / name); }
  void replace(const std::string& name, const std::string& old, const std::string& by) const {
    auto all = bytes(name);
    const size_t at = all.find(old);
    ASSERT_NE(at, std::string::npos) << old;
    write("en/" + name, all.replace(at, old.size(), by));
  }
  std::string refused() const {
    return testing::refusal([&] { const SpacyTagger tagger(folder_ / "en"); });
  }
};

TEST(SpacyWords, IdsAreThoseOfTheStringStore) {
  EXPECT_EQ(spacy_string_id(""), 0U);
  EXPECT_EQ(spacy_string_id("coffee"), 3197928453018144401U);
  EXPECT_EQ(spacy_string_id("number"), 432U) << "the name of a symbol";
  EXPECT_EQ(spacy_string_id("X"), 101U);
}

TEST(SpacyWords, ShapesOfPythonsClasses) {
  EXPECT_EQ(spacy_shape("Harbor7s"), "Xxxxxdx");
  EXPECT_EQ(spacy_shape("\u01c5\u00b2\u00bd\u2167"), "xd\u00bd\u2167");
  EXPECT_EQ(spacy_shape(std::string(99, 'a') + "\u00e9"), "LONG");
  EXPECT_EQ(spacy_suffix("a\u00e9\u4f60\U0001F600"), "\u00e9\u4f60\U0001F600");
}

TEST_F(Pipeline, OfAPythonPackageIsFound) {
  EXPECT_EQ(SpacyTagger(folder_).sha256(), SpacyTagger(kTiny).sha256());
  fs::copy(kTiny, folder_ / "other", fs::copy_options::recursive);
  EXPECT_THAT(testing::refusal([&] { const SpacyTagger tagger(folder_); }),
              HasSubstr("2 pipelines are in it"));
}

TEST_F(Pipeline, HashIsOfWhatDecides) {
  const auto before = SpacyTagger(folder_ / "en").sha256();
  replace("meta.json", "\"description\":\"\"", "\"description\":\"other\"");
  EXPECT_EQ(SpacyTagger(folder_ / "en").sha256(), before);
  replace("vocab/lookups.bin", "through", "thrOugh");
  EXPECT_NE(SpacyTagger(folder_ / "en").sha256(), before);
}

TEST_F(Pipeline, InvalidUtf8IsReplaced) {
  const auto words = SpacyTagger(kTiny).words("a\xFF red\xC3");
  ASSERT_EQ(words.size(), 2U);
  EXPECT_EQ(words[0].text, "a\uFFFD");
}

TEST_F(Pipeline, MissingFilesAreNamed) {
  EXPECT_THAT(testing::refusal([&] { const SpacyTagger tagger(folder_ / "nowhere"); }),
              HasSubstr("is not a folder"));
  for (const char* name : {"meta.json", "tokenizer", "tok2vec/model", "tagger/model", "tagger/cfg",
                           "attribute_ruler/patterns"}) {
    const auto all = bytes(name);
    fs::remove(folder_ / "en" / name);
    EXPECT_THAT(refused(), HasSubstr(name));
    write(std::string("en/") + name, all);
  }
}

TEST_F(Pipeline, OfOtherFormsAreRefused) {
  replace("meta.json", R"("lang":"en")", R"("lang":"de")");
  EXPECT_THAT(refused(), AllOf(HasSubstr("the language is 'de'"), HasSubstr("en_core_web_sm")));
  replace("meta.json", R"("lang":"de")", R"("lang":"en")");
  replace("meta.json", "\"pipeline\":[\n    \"tok2vec\"", "\"pipeline\":[\n    \"transformer\"");
  EXPECT_THAT(refused(), HasSubstr("the pipeline is transformer, tagger, attribute_ruler"));
  replace("meta.json", R"("transformer")", R"("tok2vec", "morphologizer")");
  EXPECT_THAT(refused(), HasSubstr("morphologizer"));
  replace("meta.json", R"("tok2vec", "morphologizer")", R"("tok2vec")");
  replace("tok2vec/model", "extract_features>>list2ragged", "character_embed>>list2ragged.");
  EXPECT_THAT(refused(), AllOf(HasSubstr("tok2vec/model"), HasSubstr("its layers are character_embed"),
                               HasSubstr("MultiHashEmbed")));
}

TEST_F(Pipeline, RulesThatAreNotReadAreRefused) {
  replace("attribute_ruler/patterns",
          "LOWER\xA1"
          "a",
          "SHAPE\xA1"
          "a");
  EXPECT_THAT(refused(), AllOf(HasSubstr("attribute_ruler/patterns"), HasSubstr("a rule asks for SHAPE")));
}

TEST_F(Pipeline, LabelsMustFitTheLayer) {
  replace("tagger/cfg", R"("JJR",)", "");
  EXPECT_THAT(refused(), AllOf(HasSubstr("tagger/model"), HasSubstr("it has 11 labels of 8 values")));
}

TEST_F(Pipeline, PatternsThatAreWrongAreRefused) {
  replace("tokenizer", "#[\\w]+$", "#[\\w]+(");
  EXPECT_THAT(refused(), AllOf(HasSubstr("'token_match' is not a regular expression"), HasSubstr("missing")));
}

TEST_F(Pipeline, NumbersThatAreNotFiniteAreRefused) {
  auto all = bytes("tagger/model");
  const size_t at = all.find("data") + 8;
  all.replace(at, 4, "\xFF\xFF\xFF\x7F");
  write("en/tagger/model", all);
  EXPECT_THAT(refused(), HasSubstr("tagger/model"));
}

TEST_F(Pipeline, CutFilesAreRefused) {
  for (const char* name :
       {"tokenizer", "tok2vec/model", "tagger/model", "attribute_ruler/patterns", "vocab/lookups.bin"}) {
    const auto all = bytes(name);
    for (size_t size = 0; size < all.size(); size += 1 + all.size() / 11) {
      write(std::string("en/") + name, all.substr(0, size));
      EXPECT_THAT(refused(), AllOf(HasSubstr(name), HasSubstr("cut short")));
    }
    write(std::string("en/") + name, all);
  }
}

// Other norms would give other tags, so a table that is there is read or refused.
TEST_F(Pipeline, FilesThatAreThereAndCannotBeReadAreRefused) {
  for (const char* name : {"vocab/lookups.bin", "tokenizer", "meta.json"}) {
    const fs::path file = folder_ / "en" / name;
    const auto all = bytes(name);
    fs::remove(file);
    fs::create_symlink("nowhere", file);
    EXPECT_THAT(refused(), AllOf(HasSubstr(name), HasSubstr("it is missing"), HasSubstr("en_core_web_sm")));
    fs::remove(file);
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
    EXPECT_THAT(refused(), AllOf(HasSubstr(name), HasSubstr("it is not a regular file")));
    fs::remove(file);
    write(std::string("en/") + name, all);
  }
  write("en/meta.json", std::string((size_t{1} << 20) + 1, '['));
  EXPECT_THAT(refused(), HasSubstr("meta.json"));
}

// A damaged pipeline is refused, or gives some words that are the text.
TEST_F(Pipeline, DamagedFilesDoNoHarm) {
  std::mt19937 random(7);
  int num_refused = 0;
  for (const char* name : {"tokenizer", "tok2vec/model", "tagger/model", "tagger/cfg",
                           "attribute_ruler/patterns", "vocab/lookups.bin", "meta.json"}) {
    const auto all = bytes(name);
    for (int i = 0; i < 30; ++i) {
      auto damaged = all;
      for (int k = 0; k < 3; ++k) damaged[random() % damaged.size()] = char(random());
      write(std::string("en/") + name, damaged);
      try {
        const auto words = SpacyTagger(folder_ / "en").words(kText);
        std::string together;
        for (const auto& word : words) together += word.text;
        std::string expected(kText);
        std::erase(expected, ' ');
        EXPECT_EQ(together, expected) << name;
      } catch (const UserError&) {
        ++num_refused;
      }
    }
    write(std::string("en/") + name, all);
  }
  EXPECT_GT(num_refused, 40);
}

}  // namespace
}  // namespace pixart::text
