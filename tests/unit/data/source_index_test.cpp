// A source through its index file is the same as the source that is listed.
#include "source_index.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "index_file.h"
#include "pixart/base/file.h"
#include "shards.h"

namespace pixart::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class SourceIndexTest : public ShardFolder {
 protected:
  SourceIndexTest() {
    fs::create_directories(folder_ / "index");
  }  // later it would change the folder of images
  IndexPlace place() const { return {.folder = folder_ / "index", .least_rows = 1, .shared = {}}; }
  fs::path file(const SourceConfig& config) const { return index_file(config, place()); }

  // All that a data set tells.
  static std::string content_of(const Dataset& dataset) {
    std::string all = dataset.fingerprint() + "\n" + captions_fingerprint(dataset) + "\n" +
                      former_captions_fingerprint(dataset) + "\n";
    for (const auto& name : dataset.class_names()) all += name + "\n";
    for (const auto& one : dataset.rejected())
      all += fmt::format("{} {} {} {} {}\n", one.row, one.key, one.offset, to_string(one.reason), one.detail);
    for (int64_t i = 0; i < dataset.size(); ++i) all += row_text(dataset, i);
    return all;
  }
  static std::string row_text(const Dataset& dataset, int64_t i) {
    const Row row = dataset.row(i), outline = dataset.outline(i);
    EXPECT_EQ(outline.captions.size(), row.captions.size());
    EXPECT_EQ(std::pair(outline.key, outline.label), std::pair(row.key, row.label));
    EXPECT_EQ(dataset.key(i), row.key);
    std::string text =
        fmt::format("{} {} {} {}\n", row.key, row.label, row.latent_file.string(), row.caption_file.string());
    for (const auto& caption : row.captions)
      text += fmt::format("  {} {:a} {}\n", caption.name, caption.weight, caption.text);
    std::string bytes;
    try {
      bytes = dataset.bytes(i);
    } catch (const BadSample& bad) {
      bytes = bad.what();
    }
    return text + bytes + "\n";
  }

  void expect_same(const SourceConfig& config) const {
    const std::string listed = content_of(*open_dataset(config));
    EXPECT_EQ(content_of(*open_dataset(config, place())), listed) << "made";
    ASSERT_TRUE(fs::exists(file(config)));
    const auto written = fs::last_write_time(file(config));
    EXPECT_EQ(content_of(*open_dataset(config, place())), listed) << "mapped";
    EXPECT_EQ(fs::last_write_time(file(config)), written) << "it is not made again";
  }
  // Whether opening makes the index again.
  bool is_made_again(const SourceConfig& config) const {
    std::string why, id;
    if (auto before = map_index(file(config), why)) id = before->id;
    open_dataset(config, place());
    const auto after = map_index(file(config), why);
    EXPECT_TRUE(after.has_value()) << why;
    return !after || after->id != id;
  }
  void images(int count, const std::string& folder = "") const {
    for (int i = 0; i < count; ++i) image(fmt::format("{}{}.png", folder, i), uint8_t(i));
  }
  SourceConfig two_kinds(SourceConfig config, const std::string& first, const std::string& second) const {
    config.captions = {{.name = first, .weight = 0.3, .column = {}, .from = {}},
                       {.name = second, .weight = 2, .column = {}, .from = {}}};
    return config;
  }
};

TEST_F(SourceIndexTest, ARowTakes56BytesWithItsCaption) {
  EXPECT_LE(sizeof(IndexedRow) + sizeof(CaptionPlace), 64u);
  constexpr int kRows = 2000;
  images(1);
  std::string lines;
  for (int i = 0; i < kRows; ++i)
    lines += fmt::format("{{\"image\": \"{}.png\", \"caption\": \"c{}\"}}\n", i, i);
  for (int i = 1; i < kRows; ++i) fs::create_hard_link(folder_ / "0.png", folder_ / fmt::format("{}.png", i));
  write("t.jsonl", lines);
  const auto source = config("t.jsonl", "table");
  EXPECT_EQ(open_dataset(source, place())->size(), kRows);
  const std::string keys = "0.png";  // the shortest
  EXPECT_LE(fs::file_size(file(source)), kRows * (64 + keys.size() + 3) + 2000);
}

TEST_F(SourceIndexTest, TablesOfAllFormats) {
  images(6);
  write("t.jsonl",
        "{\"image\": \"0.png\", \"long\": [\"a\", \"b\", \" \"], \"short\": \"s\"}\n"
        "no json\n{\"image\": \"1.png\", \"long\": \"\", \"short\": \"\\u0001\"}\n"
        "{\"image\": \"absent.png\", \"long\": \"x\"}\n{\"image\": \"0.png\", \"long\": [\"b\", \"c\"]}\r\n"
        "{\"image\": \"2.png\", \"short\": [\"d\", \"e\"], \"long\": \"caf\\u00e9 \"}\n"
        "{\"image\": \"3.png\", \"long\": \"  \", \"short\": \"f\", \"score\": NaN}\n");
  expect_same(two_kinds(config("t.jsonl", "table"), "long", "short"));
  expect_same(two_kinds(config("t.jsonl", "table"), "short", "long"));
  auto plain = config("t.jsonl", "table");
  plain.captions = {{.name = "any", .weight = 1, .column = "long", .from = {}}};
  expect_same(plain);
  write("t.csv",
        "sep=;\nfile_name;text;label\n0.png;\"two\nlines; \"\"quoted\"\"\";b\r\n\n1.png;['p', 'q'];a\n"
        "2.png;wrong;a;b\n3.png;;c\n0.png;other;b\n\"4.png\";last;\n");
  auto labelled = config("t.csv", "table");
  labelled.label_column = "label";
  expect_same(labelled);
}

// With max_samples rows are read in order, otherwise in parts of 4 MiB, which count their lines by themselves.
TEST_F(SourceIndexTest, LargeTablesAreTheSameInPartsAndInOrder) {
  images(5);
  std::string lines = "\xEF\xBB\xBF";
  for (int i = 0; lines.size() < size_t{5} << 20; ++i) {
    const std::string text(size_t(7000 + 37 * (i % 50)), char('a' + i % 26));
    lines += i % 101 == 7 ? "no json\r\n\n"
             : i % 89 == 3
                 ? "{\"caption\": \"names no image\"}\n"
                 : fmt::format("{{\"image\": \"{}.png\", \"caption\": \"{} {}\", \"label\": \"l{}\"}}\n",
                               i % 5, i, text, i % 5);
  }
  write("t.jsonl", lines), write("u.csv", "image,caption,label\n0.png,of the second table,l9\n3.png,x,l3\n");
  auto source = config("{t.jsonl,u.csv}", "table");
  source.label_column = "label";
  const std::string in_parts = content_of(*open_dataset(source));
  expect_same(source);
  source.max_samples = 1 << 30;
  EXPECT_EQ(content_of(*open_dataset(source)), in_parts);
  EXPECT_THAT(in_parts,
              AllOf(HasSubstr("t.jsonl line 8 "), HasSubstr("bad_row"), HasSubstr("missing_field")));
}

TEST_F(SourceIndexTest, TablesOfSubFoldersAndJoinedCaptions) {
  for (const std::string folder : {"one/", "two/"}) {
    images(2, "set/" + folder);
    write("set/" + folder + "metadata.csv", "file_name,text\n0.png," + folder + " 0\n1.png,x\n");
  }
  expect_same(config("set", "table"));
  write("joined.jsonl",
        "{\"key\": \"one/1.png\", \"caption\": [\"j\", \"\", \" k\", \" \"]}\n\n"
        "{\"key\": \"nothing\", \"caption\": \"x\"}\n{\"key\": \"two/0.png\", \"caption\": \"l\\nm\"}");
  auto joined = two_kinds(config("set", "table"), "text", "long");
  joined.captions[1].from = folder_ / "joined.jsonl";
  expect_same(joined);
  write("joined.jsonl", "{\"key\": \"one/0.png\", \"caption\": \"n\"}\n");
  EXPECT_TRUE(is_made_again(joined));
}

TEST_F(SourceIndexTest, Shards) {
  shard("in/a.tar", {{"0.png", png(1)},
                     {"0.txt", " first\n"},
                     {"0.cls", "1"},
                     {"1.txt", "no image"},
                     {"2.png", png(2)},
                     {"2.json", R"({"caption": ["p", "q"], "more": "m"})"},
                     {"2.cls", "0"}});
  shard("in/b.tar", {{"0.png", png(3)},
                     {"0.txt", "a second one of this key"},
                     {"4.png", ""},
                     {"4.txt", "x"},
                     {"5.png", png(4)},
                     {"5.json", R"({"source_key": "z", "more": ["r", " "]})"}});
  expect_same(config("in"));
  expect_same(two_kinds(config("in"), "caption", "more"));
  expect_same(config("in/*.tar"));
  const auto source = config("in/*.tar");
  EXPECT_FALSE(is_made_again(source));
  shard("in/c.tar", {{"6.png", png(5)}, {"6.txt", "new"}});
  EXPECT_TRUE(is_made_again(source));
  EXPECT_EQ(open_dataset(source, place())->size(), 7);
}

TEST_F(SourceIndexTest, FoldersOfImagesAndClasses) {
  captioned("in/a", "one\nde.utf8=eins\n two \n");
  captioned("in/deep/b", "x\x01");
  image("in/c.png");
  write("in/d.png", "");
  image("in/e.png");
  write("in/e.TXT", "upper");
  auto source = config("in", "image_folder");
  expect_same(source);
  source.caption_lines = CaptionLines::kFirst;
  expect_same(source);
  image("classes/red_fox/0.png");
  image("classes/cat/1.png", 3);
  write("classes/cat/2.png", "no image");
  expect_same(config("classes", "class_folder"));
}

TEST_F(SourceIndexTest, OfficialLayouts) {
  images(3, "sets/InternImgs/a/");
  write("sets/InternData/partition/d.json",
        R"([{"path": "a/0.png", "prompt": "p, {", "sharegpt4v": ["l", "m"]}, 7, {"path": "a/1.png"},)"
        R"({"path": "a/2.png", "prompt": "q"}])");
  write("sets/InternData/caption_feature_wmask/a_0.npz", "x");
  write("sets/InternData/img_vae_features_512resolution/noflip/a_1.npy", "x");
  expect_same(config("sets/InternData", "pixart"));
  expect_same(two_kinds(config("sets/InternData", "pixart"), "sharegpt4v", "prompt"));
  image("sam/images/sa_1.jpg");
  image("sam/images/sa_2.jpg");
  write("sam/captions/sa_1.txt", " a whole\ntext ");
  write("sam/partition/part0.txt", "sa_1\nsa_2\nsa_3\n");
  write("sam/caption_feature_wmask/sa_2.npz", "x");
  expect_same(config("sam", "pixart"));
}

// --- what is noticed

TEST_F(SourceIndexTest, ChangesOfFilesFoldersAndConfigAreNoticed) {
  images(3);
  write("t.csv", "image,caption\n0.png,x\n1.png,y\n");
  auto source = config("t.csv", "table");
  EXPECT_TRUE(is_made_again(source));
  EXPECT_FALSE(is_made_again(source));
  write("t.csv", "image,caption\n0.png,x\n2.png,y\n");
  EXPECT_TRUE(is_made_again(source)) << "the table";
  EXPECT_EQ(open_dataset(source, place())->key(1), "2.png");
  fs::remove(folder_ / "0.png");
  EXPECT_TRUE(is_made_again(source)) << "the folder of the images";
  source.missing_caption = MissingCaption::kSkip;
  EXPECT_TRUE(is_made_again(source)) << "the config";
  source.quarantine_budget = 0.5;
  EXPECT_FALSE(is_made_again(source)) << "a key that the listing does not use";
  captioned("in/deep/a", "x");
  const auto folder = config("in", "image_folder");
  EXPECT_TRUE(is_made_again(folder)) << "another path";
  image("in/deep/b.png");
  EXPECT_TRUE(is_made_again(folder)) << "a file in a sub-folder";
  EXPECT_EQ(open_dataset(folder, place())->size(), 2);
}

TEST_F(SourceIndexTest, AChangedCaptionIsAnErrorAndTheNextStartListsAnew) {
  captioned("in/a", "one");
  captioned("in/b", "two");
  const auto source = config("in", "image_folder");
  const auto dataset = open_dataset(source, place());
  write("in/b.txt", "six");  // in place: the folder does not change
  EXPECT_EQ(dataset->caption(0), "one");
  try {
    dataset->row(1);
    ADD_FAILURE() << "not noticed";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("in/b.txt"), HasSubstr("b.png"), HasSubstr("have changed")));
  }
  EXPECT_EQ(dataset->outline(1).captions.size(), 1u) << "nothing is read for it";
  EXPECT_EQ(open_dataset(source, place())->caption(1), "six");
  EXPECT_FALSE(is_made_again(source));
  const auto in_memory = open_dataset(source);
  fs::remove(folder_ / "in/a.txt");
  EXPECT_THROW(in_memory->row(0), UserError);
}

// Before, its first bytes were taken for a damaged image, and another row replaced it within the budget.
TEST_F(SourceIndexTest, AnImageOfAnotherSizeIsAnErrorAndTheNextStartListsAnew) {
  captioned("in/a", "one");
  captioned("in/b", "two");
  const auto source = config("in", "image_folder");
  const auto listed = open_dataset(source, place());
  const std::string image = read_file(folder_ / "in/b.png");
  for (const std::string& other : {image + "more", image.substr(0, image.size() / 2), std::string()}) {
    const auto dataset = open_dataset(source, place());
    EXPECT_EQ(dataset->bytes(0), read_file(folder_ / "in/a.png"));
    write("in/b.png", other);  // in place: the folder does not change
    for (const auto& read : {std::function<void()>([&] { dataset->bytes(1); }),
                             std::function<void()>([&] { dataset->image(1); }),
                             std::function<void()>([&] { dataset->image_size(1); })})
      EXPECT_THAT(read, ::testing::Throws<SourceChanged>(::testing::Property(
                            &std::exception::what, AllOf(HasSubstr("in/b.png"), HasSubstr("another size")))));
    EXPECT_TRUE(is_made_again(source));
    EXPECT_NE(open_dataset(source, place())->fingerprint(), listed->fingerprint());
  }
}

TEST_F(SourceIndexTest, ASourceMayBeListedAnewWhateverItsIndexSays) {
  constexpr int kImages = 300;
  images(2, "in/");
  for (int i = 2; i < kImages; ++i)
    fs::create_hard_link(folder_ / "in/0.png", folder_ / fmt::format("in/{}.png", i));
  const auto source = config("in", "image_folder");
  const std::string before = open_dataset(source, place())->fingerprint();
  write("in/1.png", read_file(folder_ / "in/1.png") + "more");  // in place: the folder does not change
  EXPECT_EQ(open_dataset(source, place())->fingerprint(), before) << "a start looks at every other image";
  auto anew = place();
  anew.lists_anew = true;
  const std::string after = open_dataset(source, anew)->fingerprint();
  EXPECT_NE(after, before);
  EXPECT_EQ(open_dataset(source, place())->fingerprint(), after) << "the index has it, too";
}

TEST_F(SourceIndexTest, AStartNoticesImagesThatWereAllReplacedInPlace) {
  images(3, "in/");
  const auto source = config("in", "image_folder");
  EXPECT_TRUE(is_made_again(source));
  EXPECT_FALSE(is_made_again(source));
  for (int i = 0; i < 3; ++i) write(fmt::format("in/{}.png", i), png(uint8_t(i)) + "more");
  EXPECT_TRUE(is_made_again(source));
}

// Two runs that share a folder of features may call different sources by one name.
TEST_F(SourceIndexTest, SourcesOfOneNameWithOtherKeysHaveAnIndexEach) {
  images(2, "a/"), images(3, "b/");
  const auto first = config("a", "image_folder"), second = config("b", "image_folder");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(is_made_again(first), i == 0);
    EXPECT_EQ(is_made_again(second), i == 0);
  }
  EXPECT_NE(file(first), file(second));
  EXPECT_EQ(file(first).filename(), "shards.index");
}

TEST_F(SourceIndexTest, ADamagedOrForeignFileIsNotUsed) {
  images(2);
  write("t.csv", "image,caption\n0.png,x\n1.png,y\n");
  const auto source = config("t.csv", "table");
  const std::string whole = content_of(*open_dataset(source, place()));
  const std::string good = read_file(file(source));
  for (size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = char(bad[at] ^ 0x10);
    std::string why;
    write_file_atomically(file(source), bad);
    EXPECT_FALSE(map_index(file(source), why)) << at;
    EXPECT_THAT(why, Not(IsEmpty()));
  }
  for (const auto& bad : {std::string(), std::string("x"), good.substr(0, good.size() - 1), good + "x"}) {
    write_file_atomically(file(source), bad);
    EXPECT_EQ(content_of(*open_dataset(source, place())), whole);
    EXPECT_EQ(read_file(file(source)).size(), good.size());
  }
}

TEST_F(SourceIndexTest, FingerprintsAreKeptWithTheirIndex) {
  captioned("in/a", "one");
  const auto source = config("in", "image_folder");
  const auto first = captions_fingerprint(*open_dataset(source, place()));
  const fs::path notes = file(source).string() + ".captions";
  ASSERT_TRUE(fs::exists(notes));
  write("in/a.txt", "two");  // not noticed by itself, and nothing reads it
  EXPECT_EQ(captions_fingerprint(*open_dataset(source, place())), first) << "it was kept";
  captioned("in/b", "three");
  EXPECT_NE(captions_fingerprint(*open_dataset(source, place())), first) << "of another index";
}

// Somebody else made the index, for example with `pixart data index`.
TEST_F(SourceIndexTest, FingerprintsAreComputedWhereTheirFileCannotBeWritten) {
  captioned("in/a", "one");
  const auto source = config("in", "image_folder");
  open_dataset(source, place());
  fs::create_directories(file(source).string() + ".lock");  // for root, permissions are no obstacle
  const auto found = captions_fingerprint(*open_dataset(source, place()));
  EXPECT_EQ(found, captions_fingerprint(*open_dataset(source)));
  EXPECT_FALSE(fs::exists(file(source).string() + ".captions"));
}

// --- who makes it

TEST_F(SourceIndexTest, SmallSourcesAndFoldersWithoutPermissionHaveNone) {
  captioned("in/a", "one");
  const auto source = config("in", "image_folder");
  auto large = place();
  large.folder = folder_ / "none", large.least_rows = 2;
  EXPECT_EQ(open_dataset(source, large)->size(), 1);
  EXPECT_FALSE(fs::exists(large.folder)) << "nothing is written for it";
  auto refused = place();
  write("file", "x");
  refused.folder = folder_ / "file/index";
  EXPECT_EQ(open_dataset(source, refused)->size(), 1);
}

// Four processes list shards together, of which one is killed; the index is to the byte the one that a single process makes.
TEST_F(SourceIndexTest, SeveralProcessesMakeTheSameIndex) {
  for (int i = 0; i < 40; ++i) {
    Members members;
    for (int k = 0; k < 50; ++k) {
      members.emplace_back(fmt::format("{}-{}.png", i, k), png(uint8_t(k)));
      members.emplace_back(fmt::format("{}-{}.txt", i, k), fmt::format("caption {} {}", i, k));
    }
    shard(fmt::format("in/{:03}.tar", i), members);
  }
  const auto source = config("in");
  auto alone = place();
  alone.folder = folder_ / "alone";
  open_dataset(source, alone);
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(open_dataset(source, place())->size() == 2000 ? 0 : 1);
    children.push_back(child);
  }
  ::usleep(30'000);
  ::kill(children[0], SIGKILL);
  for (size_t i = 0; i < children.size(); ++i) {
    int status = -1;
    ASSERT_EQ(::waitpid(children[i], &status, 0), children[i]);
    if (i > 0) {
      EXPECT_EQ(status, 0);
    }
  }
  EXPECT_EQ(read_file(index_file(source, place())), read_file(index_file(source, alone)));
  EXPECT_FALSE(fs::exists(index_file(source, place()).string() + ".parts"));
}

TEST_F(SourceIndexTest, ProcessesShareOneIndex) {
  images(40);
  std::string lines = "image,caption\n";
  for (int i = 0; i < 40; ++i) lines += fmt::format("{}.png,caption {}\n", i, i);
  write("t.csv", lines);
  const auto source = config("t.csv", "table");
  const std::string listed = content_of(*open_dataset(source));
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(content_of(*open_dataset(source, place())) == listed ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_FALSE(is_made_again(source));
}

}  // namespace
}  // namespace pixart::data
