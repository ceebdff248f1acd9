#include "pixart/text/nouns.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <set>

#include "caption_words.h"
#include "function_words.h"
#include "scratch_folder.h"
#include "wordnet.h"

namespace pixart::text {
namespace {
namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Strings = std::vector<std::string>;

NounFinder& finder() {
  static NounFinder instance;
  return instance;
}

Strings names(const std::vector<uint32_t>& numbers) {
  Strings result;
  for (uint32_t number : numbers) result.push_back(finder().name(number));
  return result;
}

Strings nouns(const std::string& caption) {
  CaptionNouns found;
  finder().find(caption, found);
  return names(found.nouns);
}

Strings unknown(const std::string& caption) {
  CaptionNouns found;
  finder().find(caption, found);
  return found.unknown;
}

TEST(Nouns, BaseFormsByEndings) {
  EXPECT_THAT(nouns("dogs, buses, boxes, waltzes, churches, dishes, firemen, cherries"),
              ElementsAre("dog", "bus", "box", "waltz", "church", "dish", "fireman", "cherry"));
  EXPECT_THAT(nouns("a glass, the grass, a bus, a dress"), ElementsAre("glass", "grass", "bus", "dress"));
  EXPECT_THAT(nouns("three boxesful"), ElementsAre("boxful"));
}

TEST(Nouns, BaseFormsOfTheExceptionList) {
  EXPECT_THAT(nouns("children, geese, mice, women, men, wolves, feet"),
              ElementsAre("child", "goose", "mouse", "woman", "man", "wolf", "foot"));
}

TEST(Nouns, OfSeveralBaseFormsTheUsualOne) {
  EXPECT_THAT(nouns("glasses, pants, clothes, series, people"),
              ElementsAre("glass", "pants", "clothes", "series", "people"));
}

TEST(Nouns, FunctionWordsNumbersAndLettersAreNone) {
  EXPECT_THAT(nouns("it is as he can, so no one will be in or at a; i do have all; 2 3d 1990s b ñ"),
              IsEmpty());
  EXPECT_THAT(unknown("it is as he can, so no one will be in or at a; i do have all; 2 3d 1990s b ñ"),
              IsEmpty());
  EXPECT_TRUE(is_function_word("the"));
  EXPECT_TRUE(opens_noun_phrase("the"));
  EXPECT_TRUE(is_function_word("between"));
  EXPECT_FALSE(opens_noun_phrase("between"));
  EXPECT_FALSE(is_function_word("table"));
}

TEST(Nouns, TheUsualPartOfSpeechDecides) {
  EXPECT_THAT(
      nouns("running, sitting, standing, wearing, looks, shows, stands, red, large, white, wooden, young"),
      IsEmpty());
  EXPECT_THAT(nouns("building, parking, lights, sides, tops, smile"),
              ElementsAre("building", "parking", "light", "side", "top"));
}

TEST(Nouns, WithinANounPhraseNoFiniteVerb) {
  EXPECT_THAT(nouns("They bear and duck."), IsEmpty());
  EXPECT_THAT(nouns("A bear and the small, yellow duck, near his drawing"),
              ElementsAre("bear", "duck", "drawing"));
  EXPECT_THAT(nouns("A running dog"), ElementsAre("dog"));
  EXPECT_THAT(nouns("The dog's bear"), ElementsAre("dog", "bear"));
  EXPECT_THAT(nouns("That's bear"), IsEmpty());
  EXPECT_THAT(nouns("the small. Bear"), IsEmpty()) << "a full stop ends the phrase";
  EXPECT_THAT(nouns("a man stands"), ElementsAre("man"));
}

TEST(Nouns, HyphensAndApostrophes) {
  EXPECT_THAT(nouns("a T-shirt, ice-cream, women's shoes, the dogs’ bowl"),
              ElementsAre("t-shirt", "ice cream", "woman", "shoe", "dog", "bowl"));
  EXPECT_THAT(nouns("a well-lit room isn't"), ElementsAre("room"));
  EXPECT_THAT(unknown("a well-lit room isn't"), IsEmpty());
}

TEST(Nouns, WhatWordNetDoesNotHaveIsUnknown) {
  EXPECT_THAT(unknown("Zendaya on a bicyle, 写真, Häuser"),
              ElementsAre("zendaya", "bicyle", "写真", "häuser"));
  EXPECT_THAT(nouns("Zendaya on a bicyle, 写真, Häuser"), IsEmpty());
}

TEST(Nouns, FindOverwrites) {
  CaptionNouns found;
  finder().find("a dog and a cat", found);
  EXPECT_EQ(found.words, 5);
  EXPECT_EQ(found.nouns.size(), 2u);
  finder().find("", found);
  EXPECT_EQ(found.words, 0);
  EXPECT_TRUE(found.nouns.empty());
  finder().find("zzz\xff\xfe tree", found);
  EXPECT_EQ(found.words, 2);
  EXPECT_THAT(names(found.nouns), ElementsAre("tree"));
}

TEST(CaptionWords, Split) {
  CaptionWords words;
  const auto split = [&](const std::string& caption) {
    words.split(caption);
    Strings result;
    for (size_t i = 0; i < words.size(); ++i)
      result.push_back((words.ends_phrase(i) ? "|" : "") + std::string(words.text(i)));
    return result;
  };
  EXPECT_THAT(split("A \"Sierra Beauty\" apple - it’s RED, 'big', and well-lit--bright. ÉTÉ"),
              ElementsAre("a", "sierra", "beauty", "apple", "|it's", "red", "big", "and", "well-lit",
                          "|bright", "|été"));
  EXPECT_THAT(split("-- ' - "), IsEmpty());
  EXPECT_THAT(split("o'clock"), ElementsAre("o'clock"));
  EXPECT_THAT(split("DÉJÀ-vu2 aé’B Zé"), ElementsAre("déjà-vu2", "aé'b", "zé"))
      << "bytes of both kinds in a word";
  EXPECT_THAT(split("A\xFFZ"), ElementsAre("a", "|z"));
}

TEST(Nouns, ACopyIsTheSameForAnotherThread) {
  NounFinder first, second(first);
  CaptionNouns a, b;
  first.find("a glass, then a dog, then a house of Zendaya", a);
  second.find("the house", b);
  ASSERT_EQ(a.nouns.size(), 3u);
  ASSERT_EQ(b.nouns.size(), 1u);
  EXPECT_EQ(a.nouns.back(), b.nouns.front());
  EXPECT_EQ(second.name(a.nouns.front()), "glass");
}

// What was found does not depend on what is cached, and the cache does not grow for ever.
TEST(Nouns, WordsThatAreNotCachedAreFoundTheSame) {
  NounFinder full;
  CaptionNouns found;
  for (size_t i = 0; i < NounFinder::kMostCached + 1000; ++i) {
    std::string word = "a";
    for (size_t rest = i; rest > 0; rest /= 26) word += char('a' + rest % 26);
    full.find(word + "q", found);
  }
  EXPECT_LE(full.num_cached(), NounFinder::kMostCached);
  for (const char* caption : {"two zebras and a Zendaya's well-lit ice-cream", "they bear; a running bear"}) {
    CaptionNouns expected;
    finder().find(caption, expected);
    full.find(caption, found);
    EXPECT_EQ(found.nouns, expected.nouns);
    EXPECT_EQ(found.unknown, expected.unknown);
    EXPECT_EQ(found.words, expected.words);
  }
}

// --- Agreement with captions that were marked by hand: "A brown dog* runs".
struct Agreement {
  int64_t sentences = 0, right = 0, wrong = 0, missed = 0;
  double precision() const { return double(right) / double(right + wrong); }
  double recall() const { return double(right) / double(right + missed); }
};

// The base form of each marked word is asked for alone, since a phrase does not change it.
Agreement agreement_on(const std::string& file) {
  Agreement result;
  std::ifstream stream(fs::path(PIXART_SOURCE_DIR) / "tests/unit/text" / file);
  for (std::string line; std::getline(stream, line);) {
    if (line.empty() || line.front() == '#') continue;
    ++result.sentences;
    std::multiset<std::string> marked;
    std::string caption;
    for (size_t at = 0; at < line.size(); ++at) {
      if (line[at] != '*') {
        caption += line[at];
        continue;
      }
      const size_t start = caption.find_last_of(" \"") + 1;
      CaptionNouns found;
      finder().find("the " + caption.substr(start), found);  // after "the" nearly every noun counts
      marked.insert(found.nouns.size() == 1 ? finder().name(found.nouns.front()) : caption.substr(start));
    }
    for (const auto& noun : nouns(caption)) {
      const auto match = marked.find(noun);
      if (match == marked.end()) {
        ++result.wrong;
        std::printf("  too much: %s in: %s\n", noun.c_str(), caption.c_str());
      } else {
        ++result.right;
        marked.erase(match);
      }
    }
    result.missed += int64_t(marked.size());
    for (const auto& noun : marked) std::printf("  missed: %s in: %s\n", noun.c_str(), caption.c_str());
  }
  std::printf("%s: %ld captions, precision %.3f, recall %.3f\n", file.c_str(), long(result.sentences),
              result.precision(), result.recall());
  return result;
}

TEST(Nouns, AgreesWithCaptionsMarkedByHand) {
  const auto chosen = agreement_on("noun_captions.txt"),
             held_out = agreement_on("noun_captions_held_out.txt");
  EXPECT_GE(chosen.sentences, 40);
  EXPECT_GE(held_out.sentences, 35);
  for (const auto& agreement : {chosen, held_out}) {
    EXPECT_GE(agreement.precision(), 0.93);
    EXPECT_GE(agreement.recall(), 0.93);
  }
}

// --- Folders that are no dictionary
class WordNetFolder : public testing::ScratchFolder {
 protected:
  // A dictionary of three words.
  void write_dictionary() const {
    write("index.noun", "  1 licence\ndog n 1 1 @ 1 1 02084071  \nrun n 1 1 @ 1 1 00000001  \n");
    write("index.verb", "run v 1 1 @ 1 1 00000001  \n");
    write("index.adj", "red a 1 1 & 1 1 00000001  \n");
    write("index.adv", "not r 1 0 1 1 00000001  \n");
    write("noun.exc", "doggies dog\n");
    write("verb.exc", "ran run\n");
    write("adj.exc", "\n");
    write("cntlist.rev",
          "dog%1:05:00:: 1 42\nrun%1:04:00:: 1 5\nrun%2:38:00:: 1 100\nbow-wow%1:05:00:: 1 1\n");
  }
  std::string refusal() const {
    return testing::refusal([&] { NounFinder finder(folder_); });
  }
};

TEST_F(WordNetFolder, IsReadWithoutEverythingElse) {
  write_dictionary();
  NounFinder small(folder_);
  CaptionNouns found;
  small.find("Doggies ran; a run; dogs run. Red cats", found);
  Strings result;
  for (uint32_t number : found.nouns) result.push_back(small.name(number));
  EXPECT_THAT(result, ElementsAre("dog", "run", "dog"));
  EXPECT_THAT(found.unknown, ElementsAre("cats"));
}

TEST_F(WordNetFolder, CountsOfAllSenses) {
  write_dictionary();
  const WordNet wordnet = read_wordnet(folder_);
  EXPECT_EQ(wordnet.lemmas.at("run").uses[kVerb], 100u);
  EXPECT_EQ(wordnet.lemmas.at("run").uses[kNoun], 5u);
  EXPECT_FALSE(wordnet.lemmas.contains("bow-wow"));
  const auto forms = base_forms(wordnet, "ran", kVerb);
  ASSERT_EQ(forms.size(), 1u);
  EXPECT_EQ(forms.front().form, Form::kPast);
}

TEST_F(WordNetFolder, AllMissingFilesAndThePackageAreNamed) {
  write_dictionary();
  fs::remove(folder_ / "index.verb");
  fs::remove(folder_ / "cntlist.rev");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("cntlist.rev, index.verb missing"), HasSubstr("wordnet-base"),
                               HasSubstr("--wordnet"), HasSubstr(folder_.string())));
}

TEST_F(WordNetFolder, LinesThatAreNoneAreNamed) {
  write_dictionary();
  write("index.noun", "dog n 1\ncat\n");
  EXPECT_THAT(refusal(), HasSubstr("index.noun:2: "));
  write_dictionary();
  write("index.adj", "");
  EXPECT_THAT(refusal(), HasSubstr("index.adj:1: the file lists no word"));
  write_dictionary();
  write("noun.exc", "geese\n");
  EXPECT_THAT(refusal(), HasSubstr("noun.exc:1: "));
  for (const char* line :
       {"dog%1:05:00:: 1 many\n", "dog 1 3\n", "dog% 1 3\n", "dog%7:00:: 1 3\n", "dog%1:05:00::\n"}) {
    write_dictionary();
    write("cntlist.rev", line);
    EXPECT_THAT(refusal(), HasSubstr("cntlist.rev:1: ")) << line;
  }
}

TEST(WordNetFiles, FolderOfTheEnvironment) {
  ASSERT_EQ(unsetenv("WNSEARCHDIR"), 0);
  EXPECT_EQ(wordnet_folder(), "/usr/share/wordnet");
  ASSERT_EQ(setenv("WNSEARCHDIR", "/somewhere/dict", 1), 0);
  EXPECT_EQ(wordnet_folder(), "/somewhere/dict");
  ASSERT_EQ(unsetenv("WNSEARCHDIR"), 0);
}

}  // namespace
}  // namespace pixart::text
