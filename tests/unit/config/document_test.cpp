#include <gmock/gmock.h>

#include <fstream>

#include "pixart/base/env.h"
#include "pixart/base/random.h"
#include "sample.h"

namespace pixart::config::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Document, DuplicateKeys) {
  EXPECT_EQ(error_with("seed: 1\nseed: 2"), "run.yaml:3: duplicate key 'seed', first on line 2 (keep one)");
  EXPECT_THAT(error_with("stages:\n  - {name: a, steps: 1, name: b}"),
              HasSubstr("run.yaml:3: duplicate key 'name'"));
}

TEST(Document, AnchorsAliasesMergeKeysAndTags) {
  EXPECT_THAT(error_with("seed: &x 1"), StartsWith("run.yaml:2: anchors (&x) are not allowed"));
  EXPECT_THAT(error_with("seed: &x 1\nratio: *x"),
              AllOf(HasSubstr("anchors"), HasSubstr("run.yaml:3: aliases"), HasSubstr("2 problems")));
  EXPECT_THAT(error_with("<<: {seed: 1}"), StartsWith("run.yaml:2: merge keys (<<) are not allowed"));
  EXPECT_THAT(error_with("seed: !!int 1"), StartsWith("run.yaml:2: tags"));
  EXPECT_THAT(error_with("limits: !limits {memory: 1}"), StartsWith("run.yaml:2: tags"));
}

TEST(Document, OneDocument) {
  EXPECT_EQ(error_of(""), "run.yaml:1: no value (the file is empty)");
  EXPECT_EQ(error_of("# nothing\n"), "run.yaml:1: no value (the file is empty)");
  EXPECT_EQ(error_of("---\nfolder: f\n...\n"), "");
  EXPECT_THAT(error_with("---\nseed: 1"), HasSubstr("one document is allowed"));
  EXPECT_THAT(error_with("...\nseed: 1"), HasSubstr("one document is allowed"));
  EXPECT_THAT(error_of("{folder: f} {seed: 1}"), HasSubstr("one document is allowed"));
  EXPECT_EQ(error_of("- 1"), "run.yaml:1: got a list, expected a section (write lines of key: value)");
  EXPECT_EQ(error_of("word"),
            "run.yaml:1: got a single value, expected a section (write lines of key: value)");
}

TEST(Document, Characters) {
  EXPECT_THAT(error_with("stages:\n\t- name: a"), StartsWith("run.yaml:3: tab character"));
  EXPECT_THAT(error_with("seed:\t1"), StartsWith("run.yaml:2: tab character"));
  EXPECT_THAT(error_with("seed: 1\xff"), StartsWith("run.yaml:2: not UTF-8"));
  EXPECT_THAT(error_with("seed: \xed\xa0\x80"), StartsWith("run.yaml:2: not UTF-8"));  // a surrogate
  EXPECT_THAT(error_with(std::string("seed: 1\0", 8)), StartsWith("run.yaml:2: control character 0x00"));
  EXPECT_EQ(error_of("folder: f\r\nseed: 1\r\n"), "");
  EXPECT_EQ(error_of("\xef\xbb\xbf"
                     "folder: f\n"),
            "");  // a byte order mark
  EXPECT_EQ(run_with("prompts: [ä €  𝄞]").prompts.at(0), "ä €  𝄞");
}

TEST(Document, Syntax) {
  EXPECT_THAT(error_with("seed: [1"), AllOf(StartsWith("run.yaml:3: not valid YAML"), HasSubstr("flow")));
  EXPECT_THAT(error_with("seed: \"1"), StartsWith("run.yaml:"));
  EXPECT_THAT(error_with("seed: 1: 2"), StartsWith("run.yaml:2: not valid YAML"));
  EXPECT_THAT(error_with("? [1]\n: 2"), StartsWith("run.yaml:2: a key must be a word"));
  EXPECT_THAT(error_with("? {a: 1}\n: 2"), StartsWith("run.yaml:2: a key must be a word"));
  EXPECT_THAT(error_with("~: 1"), StartsWith("run.yaml:2: a key must be a word"));
}

std::string nested(size_t levels) { return "seed: " + std::string(levels, '[') + std::string(levels, ']'); }

TEST(Document, Limits) {
  EXPECT_THAT(error_with(nested(63)), HasSubstr("got a list"));  // the file's own map is the 64th level
  EXPECT_THAT(error_with(nested(64)), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(error_with(nested(100000)), HasSubstr("nested deeper than 64 levels"));
  std::string many = "levels: [1";
  for (int i = 0; i < 99000; ++i) many += ",1";
  EXPECT_EQ(error_with(many + "]"), "");
  for (int i = 0; i < 1000; ++i) many += ",1";
  EXPECT_THAT(error_with(many + "]"), HasSubstr("more than 100000 values"));
  EXPECT_THAT(error_with("# " + std::string(1 << 20, 'x')), HasSubstr("larger than 1048576 bytes"));
}

TEST(Document, ManyProblemsAreCounted) {
  std::string keys;
  for (int i = 0; i < 20000; ++i) keys += "unknown" + std::to_string(i) + ": 1\n";
  EXPECT_THAT(error_with(keys), AllOf(StartsWith("run.yaml: 20000 problems"), HasSubstr("and 19950 more")));
}

TEST(Document, LongTokensAreCut) {
  const std::string token(100000, 'x');
  EXPECT_LT(error_with(token + ": 1").size(), 2000u);
  EXPECT_LT(error_with("seed: " + token).size(), 2000u);
  EXPECT_LT(error_with("seed: &" + token + " 1").size(), 2000u);
  EXPECT_LT(error_with("seed: !" + token + " 1").size(), 2000u);
  EXPECT_LT(error_of("folder: f", {"seed=" + token}).size(), 2000u);
}

TEST(Document, Files) {
  const auto path = std::filesystem::path(::testing::TempDir()) /
                    ("pixart_config_test_" + std::to_string(process_id()) + ".yaml");
  std::ofstream(path) << "folder: f\nsede: 3\n";
  try {
    read_file<RunConfig>(path);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), StartsWith(path.string() + ":2: sede: unknown key"));
  }
  std::ofstream(path) << "folder: f\nseed: 3\n";
  EXPECT_EQ(read_file<RunConfig>(path, {"seed=4"}).seed, 4);
  std::filesystem::remove(path);
  EXPECT_THROW(read_file<RunConfig>(path), UserError);
}

// Broken files end in a UserError, never in a crash, a hang or another exception.
TEST(Document, MutatedFilesAreReadOrRefused) {
  const std::string good =
      "folder: f\nprompts: [a, \"b\\n\", 'c']\nlimits: {memory: 1}\nstages:\n  - name: x\n    steps: 10\n    "
      "optimizer:\n"
      "      betas: [0.9, 0.99]\n  - {name: y, steps: 2, schedule: cosine}\n# end\nweights: |\n  text\n";
  ASSERT_EQ(error_of(good), "");
  const std::string alphabet = "{}[]:,-?&*!|>'\"%@`#~ \n\tabz019.\\<=\xc3";
  for (uint64_t round = 0; round < 5000; ++round) {
    const RandomKey key{1, round, Purpose::kTest};
    std::string text = good;
    for (uint64_t edit = 0; edit <= uniform_below(key, 4); ++edit) {
      const size_t at = uniform_below(key, text.size(), 3 * edit + 1);
      const char c = alphabet[uniform_below(key, alphabet.size(), 3 * edit + 2)];
      const uint64_t how = uniform_below(key, 3, 3 * edit + 3);
      if (how == 0)
        text[at] = c;
      else if (how == 1)
        text.insert(at, 1, c);
      else
        text.erase(at, 1 + at % 5);
    }
    ASSERT_NO_THROW(error_of(text)) << text;
  }
}

}  // namespace
}  // namespace pixart::config::test
