#include <algorithm>

#include "pixart/base/file.h"
#include "shard_paths.h"
#include "shards.h"

namespace pixart::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class WebDataset : public ShardFolder {};

TEST_F(WebDataset, SamplesAreConsecutiveMembersUpToTheFirstDot) {
  shard("b.tar", {{"x/b.png", png(3)}, {"x/b.txt", "third"}});
  shard("a.tar", {{"a.txt", "first\n"},
                  {"a.PNG", png(1)},
                  {"a.seg.png", "no image of ours"},
                  {"x.y/a.v2.txt", "other"},
                  {"x.y/a.txt", "second"},
                  {"x.y/a.png", png(2)}});
  const auto dataset = open_dataset(config());
  EXPECT_THAT(keys_of(*dataset), ElementsAre("a", "x.y/a", "x/b"));
  EXPECT_THAT(captions_of(*dataset), ElementsAre("caption=first", "caption=second", "caption=third"));
  EXPECT_THAT(labels_of(*dataset), ElementsAre(-1, -1, -1));
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(dataset->bytes(i), png(uint8_t(i + 1)));
  EXPECT_EQ(dataset->image(1).rgb[0], 2);
  EXPECT_THAT(rejected_of(*dataset), IsEmpty());
  EXPECT_THAT(dataset->class_names(), IsEmpty());
}

TEST_F(WebDataset, ImagesHaveAnOrderOfPreference) {
  shard("a.tar",
        {{"a.webp", "w"}, {"a.png", "p"}, {"a.jpeg", "e"}, {"a.jpg", "j"}, {"b.webp", "w"}, {"b.png", "p"}});
  const auto dataset = open_dataset(config());
  EXPECT_EQ(dataset->bytes(0), "j");
  EXPECT_EQ(dataset->bytes(1), "p");
}

TEST_F(WebDataset, PassesOverWhatWebDatasetPassesOver) {
  shard("a.tar", {{"README", "x"},
                  {"__index__/a.json", "x"},
                  {"._a.png", "x"},
                  {"a.png", png()},
                  {"noise", ""},
                  {"./a.txt", "text"}});
  const auto dataset = open_dataset(config());
  EXPECT_THAT(keys_of(*dataset), ElementsAre("a"));
  EXPECT_THAT(captions_of(*dataset), ElementsAre("caption=text"));
}

// --- which shards

TEST_F(WebDataset, PathsAreFilesFoldersGlobsAndRanges) {
  for (const char* name : {"in/s-000.tar", "in/s-001.tar", "in/s-002.tar", "in/t.tar", "in/.hidden.tar",
                           "more/u-9.tar", "more/u-10.tar"})
    shard(name, {{std::string(name).substr(3) + "/a.png", png()}});
  const auto count = [&](const std::string& path) { return open_dataset(config(path))->size(); };
  EXPECT_EQ(count("in"), 4);
  EXPECT_EQ(count("in/t.tar"), 1);
  EXPECT_EQ(count("in/s-*.tar"), 3);
  EXPECT_EQ(count("*/[su]*.tar"), 5);
  EXPECT_EQ(count("in/s-{000..001}.tar"), 2);
  EXPECT_EQ(count("more/u-{9..10}.tar"), 2);
  EXPECT_EQ(count("{in,more}/*.tar"), 6);
  EXPECT_THAT(refusal(config("in/s-{001..004}.tar")),
              AllOf(HasSubstr("s-003.tar"), HasSubstr("s-004.tar"), Not(HasSubstr("s-002.tar"))));
  EXPECT_THAT(refusal(config("in/x*.tar")), HasSubstr("in/x*.tar"));
  EXPECT_THAT(refusal(config("in/s-{5..3}.tar")), HasSubstr("goes down"));
  EXPECT_THAT(refusal(config("in/s-{0..99999999}.tar")), HasSubstr("more than"));
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_THAT(refusal(config("empty")), AllOf(HasSubstr("no .tar file"), HasSubstr("{000000..000127}")));
}

TEST(ShardRanges, AreExpandedAsShellsDo) {
  EXPECT_THAT(expand_ranges("a-{08..11}.tar"), ElementsAre("a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"));
  EXPECT_THAT(expand_ranges("{0..1}/{9..10}"), ElementsAre("0/9", "0/10", "1/9", "1/10"));
  for (const char* text : {"plain.tar", "{a..b}", "{1..x}.tar", "{1,2}.tar", "{}", "}{", "{1..2", "{..}"})
    EXPECT_THAT(expand_ranges(text), ElementsAre(text));
  EXPECT_THROW(expand_ranges("{0..999}{0..999}{0..9}"), UserError);
}

TEST_F(WebDataset, FilesThatAreNoShardsAreAllNamed) {
  shard("a.tar", {{"a.png", png()}});
  write("b.tar", "");
  write("c.tar", "\x1f\x8b compressed");
  write("d.tar", std::string(4096, 'd'));
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr("b.tar"), HasSubstr("is empty"), HasSubstr("c.tar"),
                                       HasSubstr("gunzip"), HasSubstr("d.tar"), Not(HasSubstr("a.tar"))));
}

// --- captions and classes

TEST_F(WebDataset, CaptionsComeFromFieldsAndMembersThatTheConfigNames) {
  shard("a.tar", {{"a.png", png()},
                  {"a.txt", "plain"},
                  {"a.json", R"({"short": "s", "alt": "other", "width": 3, "none": null})"},
                  {"a.llava.txt", "of a model"},
                  {"b.png", png()},
                  {"b.json", R"({"width": "wide"})"}});
  auto wanted = config();
  wanted.captions = {{"short", 1, "", ""},
                     {"long", 2, "llava.txt", ""},
                     {"other", 1, "alt", ""},
                     {"caption", 1, "", ""},
                     {"own", 3, "txt", ""}};
  const auto dataset = open_dataset(wanted);
  EXPECT_EQ(captions_of(*dataset)[0], "short=s long=of a model other=other caption=plain own=plain");
  EXPECT_EQ(dataset->row(0).captions[1].weight, 2);
  wanted.captions = {{"width", 1, "", ""}};
  const auto numbers = open_dataset(wanted);
  EXPECT_THAT(rejected_of(*numbers), ElementsAre("a bad_row"));
  EXPECT_THAT(numbers->rejected()[0].detail, HasSubstr("width in its .json is not a text"));
  wanted.captions = {{"none", 1, "", ""}};
  EXPECT_THAT(refusal(wanted), HasSubstr("no sample has a caption of kind none"));
}

TEST_F(WebDataset, WithoutTxtTheFieldCaptionIsTheCaption) {
  shard(
      "a.tar",
      {{"a.png", png()}, {"a.json", R"({"caption": "of img2dataset", "key": "000000"})"}, {"b.png", png()}});
  const auto dataset = open_dataset(config());
  EXPECT_THAT(captions_of(*dataset), ElementsAre("caption=of img2dataset", ""));
  EXPECT_THAT(keys_of(*dataset), ElementsAre("a", "b"));
}

TEST_F(WebDataset, MissingCaptionsAreHandledAsInOtherSources) {
  shard("a.tar", {{"a.png", png()}, {"a.txt", "x"}, {"b.png", png()}});
  auto wanted = config();
  wanted.missing_caption = MissingCaption::kError;
  EXPECT_THAT(refusal(wanted), AllOf(HasSubstr("1 of 2 samples have no caption: b"),
                                     HasSubstr("The members of b are .png."), HasSubstr(".txt member")));
  shard("a.tar", {{"a.png", png()}, {"a.json", R"({"title": "x", "url": "y"})"}});
  EXPECT_THAT(refusal(wanted),
              HasSubstr("The members of a are .png, .json; the fields of its .json are title, url."));
  shard("a.tar", {{"a.png", png()}, {"a.txt", "x"}, {"b.png", png()}});
  wanted.missing_caption = MissingCaption::kSkip;
  EXPECT_THAT(rejected_of(*open_dataset(wanted)), ElementsAre("b missing_caption"));
}

TEST_F(WebDataset, ClassesAreNumbersOrTheNamesBesideTheShards) {
  shard("a.tar", {{"a.png", png()}, {"a.cls", "2\n"}, {"b.png", png()}, {"b.cls", " 0"}, {"c.png", png()}});
  auto wanted = config();
  wanted.missing_caption = MissingCaption::kError;  // shards of classes need no captions
  EXPECT_THAT(open_dataset(wanted)->class_names(), ElementsAre("0", "1", "2"));
  EXPECT_THAT(labels_of(*open_dataset(wanted)), ElementsAre(2, 0, -1));
  write("classes.txt", "red fox\r\ncat\n");
  const auto named = open_dataset(wanted);
  EXPECT_THAT(named->class_names(), ElementsAre("red fox", "cat"));
  EXPECT_THAT(rejected_of(*named), ElementsAre("a bad_label"));
  EXPECT_THAT(named->rejected()[0].detail, AllOf(HasSubstr("a.tar"), HasSubstr("0 to 1")));
}

// --- what is wrong with single samples

TEST_F(WebDataset, EachBadSampleIsOnRecordWithItsReason) {
  const std::string large(2 << 20, 'x');
  shard("a.tar",
        {{"good.png", png()},     {"good.txt", "x"},          {"noimage.txt", "x"},    {"empty.png", ""},
         {"badjson.png", png()},  {"badjson.json", "{"},      {"list.png", png()},     {"list.json", "[]"},
         {"badlabel.png", png()}, {"badlabel.cls", "cat"},    {"negative.png", png()}, {"negative.cls", "-1"},
         {"huge.png", png()},     {"huge.cls", "9999999"},    {"long.png", png()},     {"long.txt", large},
         {"latin.png", png()},    {"latin.txt", "\xe9t\xe9"}, {"twice.png", png()},    {"twice.PNG", png()},
         {"\xff.png", png()},     {"good.png", png(9)},       {"good.txt", "again"}});
  const auto dataset = open_dataset(config());
  EXPECT_EQ(dataset->size(), 13);
  EXPECT_THAT(
      rejected_of(*dataset),
      ElementsAre("noimage missing_file", "empty empty_file", "badjson bad_row", "list bad_row",
                  "badlabel bad_label", "negative bad_label", "huge bad_label", "long caption_too_long",
                  "latin bad_caption_text", "twice bad_row", "\xff bad_row", "good duplicate_key"));
  const formats::TarFile file(folder_ / "a.tar");
  std::map<std::string, uint64_t> offsets;
  for (const auto& entry : file.index().entries) offsets.emplace(entry.name, entry.offset);
  EXPECT_EQ(dataset->rejected()[0].offset, offsets["noimage.txt"]);
  EXPECT_EQ(dataset->rejected()[2].offset, offsets["badjson.json"]);
  EXPECT_EQ(dataset->rejected()[4].offset, offsets["badlabel.cls"]);
  for (const auto& rejection : dataset->rejected()) EXPECT_FALSE(rejection.detail.empty());
}

TEST_F(WebDataset, HardLinksHaveTheContentOfAnEarlierMember) {
  std::filesystem::create_directories(folder_ / "in");
  write("in/a.png", png());
  std::filesystem::create_hard_link(folder_ / "in/a.png", folder_ / "in/b.png");
  write("in/b.txt", "x");
  ASSERT_EQ(std::system(fmt::format("tar -C '{}/in' -cf '{}/a.tar' a.png b.png b.txt", folder_.string(),
                                    folder_.string())
                            .c_str()),
            0);
  const auto dataset = open_dataset(config());
  EXPECT_THAT(rejected_of(*dataset), IsEmpty());
  EXPECT_THAT(captions_of(*dataset), ElementsAre("", "caption=x"));
  EXPECT_EQ(dataset->bytes(1), png());
}

class DamagedShard : public ShardFolder {
 protected:
  DamagedShard() {
    Members members;
    for (int i = 0; i < 6; ++i) {
      members.emplace_back(fmt::format("s{}.png", i), png(uint8_t(i)));
      members.emplace_back(fmt::format("s{}.txt", i), fmt::format("caption {}", i));
    }
    shard("whole.tar", members);
    const formats::TarFile file(folder_ / "whole.tar");
    for (const auto& entry : file.index().entries) headers_[entry.name] = entry.offset - 512;
    bytes_ = read("whole.tar");
  }
  std::map<std::string, uint64_t> headers_;
  std::string bytes_;
};

// Whatever is cut off or changed: no sample is lost without a word, and none is taken with parts missing.
TEST_F(DamagedShard, EveryHeaderThatIsDamagedCostsItsNeighboursAtMost) {
  for (const auto& [name, header] : headers_) {
    std::string bytes = bytes_;
    bytes[header + 10] ^= 1;
    write("a.tar", bytes);
    const auto dataset = open_dataset(config("a.tar"));
    const int damaged = name[1] - '0';
    EXPECT_EQ(dataset->size(), 6) << name;
    std::vector<bool> is_bad(6);
    for (const auto& rejection : dataset->rejected()) {
      is_bad[size_t(rejection.row)] = true;
      EXPECT_EQ(rejection.reason, Reason::kDamagedArchive);
      EXPECT_LE(std::abs(rejection.row - damaged), 1);
      EXPECT_THAT(rejection.detail, HasSubstr(fmt::format("byte {}", header)));
    }
    EXPECT_TRUE(is_bad[size_t(damaged)]) << name;
    for (int64_t i = 0; i < 6; ++i)
      if (!is_bad[size_t(i)]) {
        EXPECT_EQ(dataset->bytes(i), png(uint8_t(i)));
      }
  }
}

TEST_F(DamagedShard, DamageWithoutAnySampleIsOnRecord) {
  shard("b.tar", {{"b.png", png()}});
  write("a.tar", std::string(512, 'x') + std::string(1024, '\0'));
  EXPECT_THAT(refusal(config()), HasSubstr("a.tar is not a tar archive"));
  shard("c.tar", {{"README", ""}});
  write("a.tar", read("c.tar") + "junk" + std::string(1020, 'j'));
  EXPECT_THAT(rejected_of(*open_dataset(config("[ab].tar"))), ElementsAre("a.tar byte 512 damaged_archive"));
}

// A writer that was not closed, or was killed.
TEST_F(DamagedShard, AMissingEndMarkCostsNoWholeSample) {
  const size_t last_text = headers_["s5.txt"];
  for (const size_t length :
       {bytes_.size() - 1024, bytes_.size() - 512, last_text + 512 + 9}) {  // 9: "caption 5"
    write("a.tar", bytes_.substr(0, length));
    const auto dataset = open_dataset(config("a.tar"));
    EXPECT_THAT(dataset->rejected(), IsEmpty()) << length;
    EXPECT_EQ(dataset->size(), 6);
    EXPECT_EQ(dataset->caption(5), "caption 5");
  }
  write("a.tar", bytes_.substr(0, last_text));  // the image of the last sample is there, its caption is not
  const auto dataset = open_dataset(config("a.tar"));
  EXPECT_THAT(rejected_of(*dataset), ElementsAre("s5 damaged_archive"));
  EXPECT_THAT(dataset->rejected()[0].detail, HasSubstr("lacks .txt"));
}

TEST_F(DamagedShard, EveryTruncationIsOnRecord) {
  constexpr size_t kCaption = 9;  // bytes
  const auto ends_with_a_sample = [&](size_t length) {
    return std::any_of(headers_.begin(), headers_.end(), [&](const auto& header) {
      const auto& [name, at] = header;
      return name.ends_with(".txt") && length >= at + 512 + kCaption && length <= at + 1024;
    });
  };
  for (size_t length = 1024; length < headers_["s5.txt"] + 512 + kCaption; length += 100) {
    write("a.tar", bytes_.substr(0, length));
    try {
      const auto dataset = open_dataset(config("a.tar"));
      if (ends_with_a_sample(length)) {
        EXPECT_THAT(dataset->rejected(), IsEmpty()) << length;
        continue;
      }
      ASSERT_THAT(dataset->rejected(), SizeIs(1)) << length;
      EXPECT_EQ(dataset->rejected()[0].row, dataset->size() - 1);
      EXPECT_EQ(dataset->rejected()[0].reason, Reason::kDamagedArchive);
      for (int64_t i = 0; i + 1 < dataset->size(); ++i) {
        EXPECT_EQ(dataset->bytes(i), png(uint8_t(i)));
        EXPECT_EQ(dataset->caption(i), fmt::format("caption {}", i));
      }
    } catch (const UserError& error) {  // not even the first sample is left
      EXPECT_LE(length, headers_["s1.png"] + 512);
      EXPECT_THAT(error.what(), HasSubstr("none of 1 samples can be used"));
    }
  }
}

TEST_F(DamagedShard, AShardThatShrinksLaterCostsItsSamplesOnly) {
  const auto dataset = open_dataset(config("whole.tar"));
  std::filesystem::resize_file(folder_ / "whole.tar", headers_["s5.png"]);
  EXPECT_EQ(dataset->bytes(4), png(4));
  try {
    dataset->bytes(5);
    FAIL() << "not refused";
  } catch (const BadSample& bad) {
    EXPECT_EQ(bad.rejection().reason, Reason::kDamagedArchive);
    EXPECT_EQ(bad.rejection().offset, headers_["s5.png"] + 512);
  }
}

TEST_F(DamagedShard, ManyShardsAreReadInTheirOrder) {
  for (int i = 0; i < 40; ++i)
    shard(fmt::format("many/{:02}.tar", i), {{fmt::format("k{:02}.png", i), png()}});
  const auto keys = keys_of(*open_dataset(config("many")));
  ASSERT_THAT(keys, SizeIs(40));
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
}

}  // namespace
}  // namespace pixart::data
