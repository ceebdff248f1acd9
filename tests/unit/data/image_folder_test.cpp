#include <algorithm>
#include <thread>

#include "folder.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ImageFolder : public Folder {
 protected:
  SourceConfig config(MissingCaption missing_caption = MissingCaption::kError) const {
    SourceConfig result;
    result.name = "stamps";
    result.path = folder_;
    result.missing_caption = missing_caption;
    return result;
  }
};

TEST_F(ImageFolder, ListsAllKindsRecursivelySortedByPath) {
  captioned("b/two", "two");
  captioned("a/deep/one", "one");
  captioned("top", "top");
  write("b/notes.md", "no image");
  image("b/.hidden.png");
  image(".cache/seen.png");
  for (const char* name : {"c.JPG", "d.jpeg", "e.webp"}) image(std::string("a/") + name);  // told by content
  for (const char* name : {"c", "d", "e"}) write(std::string("a/") + name + ".txt", name);
  const auto dataset = open_dataset(config());
  EXPECT_THAT(keys_of(*dataset),
              ElementsAre("a/c.JPG", "a/d.jpeg", "a/deep/one.png", "a/e.webp", "b/two.png", "top.png"));
  EXPECT_EQ(dataset->caption(2), "one");
  EXPECT_EQ(dataset->caption(4), "two");
  EXPECT_EQ(dataset->label(0), -1);
  EXPECT_EQ(dataset->row(0).label, -1);
  EXPECT_TRUE(dataset->class_names().empty());
}

TEST_F(ImageFolder, EachEndingThatIsReadIsListed) {
  std::vector<std::string> wanted;
  for (const auto ending : formats::image_endings()) {
    image(fmt::format("{}.{}", ending, ending));  // told by content
    write(fmt::format("{}.txt", ending), "x");
    wanted.push_back(fmt::format("{}.{}", ending, ending));
  }
  std::sort(wanted.begin(), wanted.end());
  const auto dataset = open_dataset(config());
  EXPECT_EQ(keys_of(*dataset), wanted);
  for (int64_t i = 0; i < dataset->size(); ++i) EXPECT_EQ(dataset->image(i).width, 4);
}

TEST_F(ImageFolder, ImagesOfOtherKindsAreCountedAndNamed) {
  captioned("a", "a");
  for (const char* name : {"b.HEIC", "c/d.psd", "e.jxl"}) {
    fs::create_directories((folder_ / name).parent_path());
    write(name, "x");
  }
  write("notes.md", "x");
  fs::create_directory(folder_ / "f.svg");
  captioned("f.svg/g", "g");
  ::testing::internal::CaptureStderr();
  const auto dataset = open_dataset(config());
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(keys_of(*dataset), ElementsAre("a.png", "f.svg/g.png"));
  EXPECT_THAT(said, AllOf(HasSubstr("3 file(s) of other kinds"), HasSubstr("b.HEIC, c/d.psd, e.jxl"),
                          Not(HasSubstr("notes"))));
}

TEST_F(ImageFolder, CaptionIsTheFirstLineWithText) {
  captioned("bom", "\xEF\xBB\xBF  A dragon. \r\nde.utf8=Ein Drache.\r\n");
  captioned("late", "\n \t\r\n\nA late line");
  captioned("tux", "A cat.\nde.utf8=Eine Katze.\nfr.utf8=Un chat.\n");
  const auto dataset = open_dataset(config());
  EXPECT_EQ(dataset->caption(0), "A dragon.");
  EXPECT_EQ(dataset->caption(1), "A late line");
  EXPECT_EQ(dataset->caption(2), "A cat.");
}

// How a caption of some lines is written, and what is read.
struct Lines {
  std::string text, all, first;
};

TEST_F(ImageFolder, TheWholeTextIsTheCaption) {
  const std::vector<Lines> cases = {
      {"One.", "One.", "One."},
      {"One.\n", "One.", "One."},
      {"One.\nTwo.", "One.\nTwo.", "One."},
      {"One.\nTwo.\n\n\n", "One.\nTwo.", "One."},
      {"One.\n\nTwo.\n", "One.\n\nTwo.", "One."},
      {"\n\nOne.\nTwo.", "One.\nTwo.", "One."},
      {" \t\n  One. \n  Two. ", "One.\n  Two.", "One."},
      {"One.\n \t\nTwo.", "One.\n\nTwo.", "One."},
      {"- a ball\n- a hill\n- a sky", "- a ball\n- a hill\n- a sky", "- a ball"},
      {"One.\nde.utf8=Eins.\nfr.utf8=Un.", "One.", "One."},
      {"One.\nde.utf8=Eins.\nTwo.", "One.\nTwo.", "One."},
      {"One.\npt_BR.utf8=Um.\nsr@latin.utf8=Jedan.\nzh_TW.utf8=x", "One.", "One."},
      {"de.utf8=Eins.\nTwo.", "de.utf8=Eins.\nTwo.", "de.utf8=Eins."},
      {"One.\nthe file a.utf8=b is no translation", "One.\nthe file a.utf8=b is no translation", "One."},
      {"Ein B\u00e4r.\nZwei.", "Ein B\u00e4r.\nZwei.", "Ein B\u00e4r."},
      {"One, two\tthree.\n\tFour.", "One, two\tthree.\n\tFour.", "One, two\tthree."},
      {"", "", ""},
      {" \n\n", "", ""}};
  auto all = config(MissingCaption::kEmpty);
  all.missing_caption_share = 1;
  auto first = all;
  first.caption_lines = CaptionLines::kFirst;
  int count = 0;
  captioned("z", "z");
  for (const auto& one : cases)
    for (const char* mark : {"", "\xEF\xBB\xBF"})
      for (const bool windows : {false, true}) {
        std::string text = mark;
        for (const char c : one.text) text += c == '\n' && windows ? "\r\n" : std::string(1, c);
        captioned("a", text);
        EXPECT_EQ(open_dataset(all)->caption(0), one.all) << text;
        EXPECT_EQ(open_dataset(first)->caption(0), one.first) << text;
        ++count;
      }
  EXPECT_EQ(count, 72);
}

TEST_F(ImageFolder, CaptionFilesInUpperCase) {
  image("A.PNG");
  write("A.TXT", "upper");
  image("b.png");
  write("b.TXT", "upper");
  write("b.txt", "lower");
  const auto dataset = open_dataset(config());
  EXPECT_EQ(dataset->caption(0), "upper");
  EXPECT_EQ(dataset->caption(1), "lower");
}

// A list of rows in one .json, captions of another trainer, a table that is UTF-16 without a mark.
TEST_F(ImageFolder, MissingCaptionsNameTheFilesThatAreNotRead) {
  image("b.png");
  EXPECT_THAT(refusal(config()), ::testing::Not(HasSubstr("not read")));
  for (const char* name : {"metadata.json", "b.caption", "METADATA.CSV", "b.png.gz"}) {
    write(name, "x");
    EXPECT_THAT(refusal(config()), AllOf(HasSubstr("1 of 1 samples have no caption: b.png"),
                                         HasSubstr(fmt::format("These files are not read: {}.", name)),
                                         HasSubstr("UTF-8"), HasSubstr("missing_caption")));
    std::filesystem::remove(folder_ / name);
  }
}

TEST_F(ImageFolder, MissingCaptionsNameTextsOfNoImage) {
  image("in/b.png");
  write("in/b.png.txt", "x");
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr("These .txt files belong to no image: b.png.txt."),
                                       HasSubstr("The caption of b.png is b.txt.")));
}

TEST_F(ImageFolder, MissingCaptionsAreRefusedSkippedOrEmpty) {
  captioned("a", "A");
  image("b.png");
  captioned("c", " \n\n");
  EXPECT_THAT(refusal(config()),
              AllOf(HasSubstr("source stamps"), HasSubstr("2 of 3 samples have no caption: b.png, c.png"),
                    HasSubstr("missing_caption")));
  EXPECT_THAT(refusal(config(MissingCaption::kSkip)),
              AllOf(HasSubstr("66.67 %"), HasSubstr("missing_caption_share = 0.01")));
  auto allowed = config(MissingCaption::kSkip);
  allowed.missing_caption_share = 0.7;
  const auto skipped = open_dataset(allowed);
  EXPECT_EQ(skipped->size(), 3);  // listed all the same
  EXPECT_THAT(rejected_of(*skipped), ElementsAre("b.png missing_caption", "c.png missing_caption"));
  allowed.missing_caption = MissingCaption::kEmpty;
  const auto with_empty = open_dataset(allowed);
  EXPECT_THAT(rejected_of(*with_empty), IsEmpty());
  EXPECT_THAT(keys_of(*with_empty), ElementsAre("a.png", "b.png", "c.png"));
  EXPECT_EQ(with_empty->caption(1), "");
}

TEST_F(ImageFolder, MissingCaptionsAreNamedTwentyAtMost) {
  for (int i = 10; i < 40; ++i) image(fmt::format("in/p{}.png", i));
  captioned("in/q", "q");
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr("30 of 31 samples"), HasSubstr("in/p10.png"),
                                       HasSubstr("in/p29.png and 10 more"), Not(HasSubstr("in/p30.png"))));
  auto some = config();
  some.include = {"in", "im"};
  EXPECT_THAT(refusal(some), HasSubstr("there is no folder im. Did you mean 'in'?"));
}

TEST_F(ImageFolder, BadSamplesStayListedWithTheirReason) {
  captioned("a", "a");
  captioned("empty", "x");
  write("empty.png", "");
  write("gone.txt", "x");
  fs::create_symlink("nowhere.png", folder_ / "gone.png");
  fs::create_directory(folder_ / "folder.png");
  captioned("long", std::string((1 << 20) + 1, 'x'));
  captioned("latin", "caf\xE9");
  captioned("nul", std::string("a\0b", 3));
  captioned("z", "z");
  const auto dataset = open_dataset(config());
  EXPECT_EQ(dataset->size(), 8);
  EXPECT_THAT(rejected_of(*dataset), ElementsAre("empty.png empty_file", "folder.png unreadable_file",
                                                 "gone.png missing_file", "latin.png bad_caption_text",
                                                 "long.png caption_too_long", "nul.png bad_caption_text"));
}

TEST_F(ImageFolder, NoFolderOrNoImageIsRefused) {
  EXPECT_THAT(refusal(config()), HasSubstr("no image (.jpg"));
  image("a.png");
  auto uncaptioned = config(MissingCaption::kSkip);
  uncaptioned.missing_caption_share = 1;
  EXPECT_THAT(refusal(uncaptioned),
              AllOf(HasSubstr("none of 1 samples can be used"), HasSubstr("no caption")));
  auto elsewhere = config();
  elsewhere.path = folder_ / "gone";
  EXPECT_THAT(refusal(elsewhere), AllOf(HasSubstr("gone"), HasSubstr("does not exist")));
  elsewhere.path = folder_ / "a.png";
  EXPECT_THAT(refusal(elsewhere), HasSubstr("is not a folder"));
}

TEST_F(ImageFolder, IncludeTakesSubFoldersOnceEach) {
  captioned("animals/birds/owl", "owl");
  captioned("animals/cat", "cat");
  captioned("food/pie", "pie");
  captioned("top", "top");
  auto some = config();
  some.include = {"food/", "animals", "./animals/birds"};
  EXPECT_THAT(keys_of(*open_dataset(some)),
              ElementsAre("animals/birds/owl.png", "animals/cat.png", "food/pie.png"));
}

TEST_F(ImageFolder, FollowsLinksToFoldersButNotInCircles) {
  captioned("real/a", "a");
  fs::create_directory_symlink(folder_ / "real", folder_ / "also");
  fs::create_directory_symlink(folder_, folder_ / "real/circle");
  EXPECT_THAT(keys_of(*open_dataset(config())), ElementsAre("also/a.png", "real/a.png"));
}

TEST_F(ImageFolder, MaxSamplesTakesTheFirst) {
  for (const char* name : {"b", "c", "d"}) captioned(name, name);
  auto two = config();
  two.max_samples = 2;
  EXPECT_THAT(keys_of(*open_dataset(two)), ElementsAre("b.png", "c.png"));
  two.max_samples = 20;
  EXPECT_EQ(open_dataset(two)->size(), 3);
}

TEST_F(ImageFolder, FingerprintsFollowNamesAndSizesAndCaptionsApart) {
  captioned("a", "A");
  captioned("b", "B");
  const std::string before = open_dataset(config())->fingerprint();
  fs::last_write_time(folder_ / "a.png", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_EQ(open_dataset(config())->fingerprint(), before);
  const std::string captions = captions_fingerprint(*open_dataset(config()));
  write("a.txt", "Another");
  EXPECT_EQ(open_dataset(config())->fingerprint(), before);
  EXPECT_NE(captions_fingerprint(*open_dataset(config())), captions);
  image("b.png", 0, 30, 40);
  const std::string resized = open_dataset(config())->fingerprint();
  EXPECT_NE(resized, before);
  captioned("c", "C");
  EXPECT_NE(open_dataset(config())->fingerprint(), resized);
  auto fewer = config();
  fewer.max_samples = 2;
  EXPECT_EQ(open_dataset(fewer)->fingerprint(), resized);
}

TEST_F(ImageFolder, DamagedImageIsNamedWhenRead) {
  captioned("a", "A");
  write("a.png", "not an image");
  const auto dataset = open_dataset(config());
  try {
    dataset->image(0);
    ADD_FAILURE() << "not refused";
  } catch (const BadSample& bad) {
    EXPECT_THAT(bad.what(), AllOf(HasSubstr("a.png: "), Not(HasSubstr("a.png: a.png"))));
    EXPECT_EQ(bad.rejection().reason, Reason::kNotAnImage);
    EXPECT_EQ(bad.rejection().row, 0);
  }
  fs::remove(folder_ / "a.png");
  try {
    dataset->bytes(0);
    ADD_FAILURE() << "not refused";
  } catch (const BadSample& bad) {
    EXPECT_EQ(bad.rejection().reason, Reason::kMissingFile);
  }
  EXPECT_THROW(dataset->image(1), InternalError);
  EXPECT_THROW(dataset->caption(-1), InternalError);
}

TEST_F(ImageFolder, CaptionsOfKindsAreJoinedByKey) {
  captioned("a", "short a");
  captioned("b", "short b");
  image("c.png");
  write("long.jsonl",
        "{\"key\": \"b.png\", \"caption\": \"long b\"}\n{\"key\": \"c.png\", \"caption\": \"long c\"}\n");
  auto both = config();
  both.captions = {{.name = "long", .weight = 3, .column = "", .from = folder_ / "long.jsonl"},
                   {.name = "caption", .weight = 1, .column = "", .from = {}}};
  const auto dataset = open_dataset(both);
  const auto texts = [&](int64_t row) {
    std::vector<std::string> lines;
    for (const auto& caption : dataset->row(row).captions)
      lines.push_back(fmt::format("{} {} {}", caption.name, caption.weight, caption.text));
    return lines;
  };
  EXPECT_THAT(texts(0), ElementsAre("caption 1 short a"));
  EXPECT_THAT(texts(1), ElementsAre("long 3 long b", "caption 1 short b"));
  EXPECT_THAT(texts(2), ElementsAre("long 3 long c"));
  both.captions[1].name = "shot";
  EXPECT_THAT(refusal(both), HasSubstr("no sample has a caption of kind shot"));
  write("long.jsonl", "{\"key\": \"b.png\"}\nrubbish\n");
  EXPECT_THAT(refusal(both), AllOf(HasSubstr("line 1"), HasSubstr("line 2")));
}

TEST_F(ImageFolder, IsReadFromSeveralThreads) {
  for (int i = 0; i < 32; ++i) {
    image(fmt::format("p{:02}.png", i), uint8_t(i));
    write(fmt::format("p{:02}.txt", i), "x");
  }
  const auto dataset = open_dataset(config());
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < dataset->size(); ++i) wrong[t] += dataset->image(i).rgb[0] != uint8_t(i);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

}  // namespace
}  // namespace pixart::data
