#include "pixart/sample/image_folder.h"

#include <algorithm>

#include "many_keys.h"
#include "pixart/base/file.h"
#include "pixart/formats/npz_bytes.h"
#include "scratch_folder.h"

namespace pixart::sample {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kImages = 3;

PngText text(int64_t i) {
  return {{"prompt", fmt::format("image {}", i)},
          {"seed", "0"},
          {"model_sha256", "ab"},
          {"software", "pixart 0.1.0"}};
}

class Folder : public testing::ScratchFolder {
 protected:
  fs::path path() const { return folder_ / "drawn"; }
  FolderRequest request(Existing existing, bool with_page = false) const {
    return {.folder = path(), .existing = existing, .num_images = kImages, .with_page = with_page};
  }
  ImageFolder open(Existing existing, const Settings& settings = {{"seed", "0"}}) const {
    return {request(existing), settings, text};
  }
  // A folder with the first images, as a kill leaves it.
  void draw(int64_t count) const {
    ImageFolder folder = open(Existing::kRefuse);
    for (int64_t i = 0; i < count; ++i) folder.save(i, Image(4, 4, uint8_t(i)));
  }
  void put(const std::string& name, const std::string& bytes) const {
    fs::create_directories(path());
    write_file_atomically(path() / name, bytes);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string refused(Existing existing, bool with_page = false) const {
    return testing::refusal([&] { check_folder(request(existing, with_page)); });
  }
};

using Names = std::vector<std::string>;

TEST_F(Folder, BeginsWhereNothingIsInTheWay) {
  for (const auto existing : {Existing::kRefuse, Existing::kReplace, Existing::kResume}) {
    fs::remove_all(path());
    put("notes.txt", "mine");
    const ImageFolder folder = open(existing);
    EXPECT_EQ(folder.num_there(), 0);
    EXPECT_EQ(names(), (Names{"notes.txt", "sample.json"}));
  }
}

TEST_F(Folder, NamesAreSortedForAnyNumberOfImages) {
  const auto name = [&](const char* folder, int64_t num_images, int64_t i) {
    const FolderRequest request{.folder = folder_ / folder, .num_images = num_images};
    return ImageFolder(request, {}, text).name(i);
  };
  EXPECT_EQ(name("a", 1, 0), "0000.png");
  EXPECT_EQ(name("b", 10000, 9999), "9999.png");
  EXPECT_EQ(name("c", 10001, 7), "00007.png");
  EXPECT_EQ(name("d", 10001, 10000), "10000.png");
}

TEST_F(Folder, ImagesAreNotReplacedByTheWay) {
  draw(2);
  EXPECT_THAT(refused(Existing::kRefuse), AllOf(HasSubstr("0000.png, 0001.png, sample.json"),
                                                HasSubstr("--resume"), HasSubstr("--overwrite")));
  fs::remove_all(path());
  put("holiday.JPG", "of somebody");
  EXPECT_THAT(refused(Existing::kRefuse), HasSubstr("holds holiday.JPG."));
  fs::remove_all(path());
  put("index.html", "a page of somebody");
  check_folder(request(Existing::kRefuse));
  EXPECT_THAT(refused(Existing::kRefuse, /*with_page=*/true), HasSubstr("holds index.html."));
}

TEST_F(Folder, AFileIsNotAFolder) {
  write("drawn", "a file");
  EXPECT_THAT(refused(Existing::kRefuse), HasSubstr("is not a folder"));
}

TEST_F(Folder, ResumesWithWhatIsThere) {
  draw(2);
  put(".tmp-0002.png-0123456789abcdef", "cut off by a kill");
  put(".tmp-thesis.png-0123456789abcdef", "of somebody");
  const std::string record = read(path() / "sample.json");
  ImageFolder folder = open(Existing::kResume);
  EXPECT_EQ(folder.num_there(), 2);
  EXPECT_TRUE(folder.is_there(1));
  EXPECT_FALSE(folder.is_there(2));
  folder.save(2, Image(4, 4, 7));
  EXPECT_EQ(folder.num_there(), 3);
  EXPECT_EQ(names(),
            (Names{".tmp-thesis.png-0123456789abcdef", "0000.png", "0001.png", "0002.png", "sample.json"}));
  EXPECT_EQ(read(path() / "sample.json"), record);
}

TEST_F(Folder, EachSettingThatDiffersIsNamed) {
  open(Existing::kResume, {{"seed", "0"}, {"guidance", "4.5"}, {"old", "x"}, {"same", "y"}});
  const auto message = testing::refusal([&] {
    open(Existing::kResume, {{"seed", "1"}, {"guidance", "3"}, {"same", "y"}, {"new", "z"}});
  });
  EXPECT_THAT(message, AllOf(HasSubstr("seed was '0', is '1'"), HasSubstr("guidance was '4.5', is '3'"),
                             HasSubstr("old was 'x', is not set"), HasSubstr("new was not set, is 'z'")));
  EXPECT_THAT(message, Not(HasSubstr("same was")));
}

TEST_F(Folder, ImagesWithoutARecordAreNotContinued) {
  draw(1);
  const std::string large = R"({"kind": "pixart sample, 1", "settings": {)" + testing::many_keys() + "}}";
  for (const std::string& record : {std::string("no JSON"), std::string("{}"), large,
                                    std::string(R"({"kind": "pixart sample, 1", "settings": [1]})"),
                                    std::string(R"({"kind": "pixart sample, 0", "settings": {}})")}) {
    put("sample.json", record);
    EXPECT_THAT(refused(Existing::kResume), HasSubstr("cannot be continued")) << record;
  }
}

TEST_F(Folder, DamagedAndOtherImagesAreAllNamed) {
  draw(3);
  fs::resize_file(path() / "0000.png", fs::file_size(path() / "0000.png") - 4);
  fs::copy_file(path() / "0001.png", path() / "0002.png", fs::copy_options::overwrite_existing);
  const auto message = testing::refusal([&] { open(Existing::kResume); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("0000.png is cut off. Delete it"),
                    HasSubstr("0002.png is another image; move it away"), Not(HasSubstr("0001.png is"))));
  EXPECT_EQ(names().size(), 4u) << "nothing was deleted";
}

TEST_F(Folder, ReplacesItsOwnImagesOnly) {
  draw(3);
  put("grid.png", "of the call that drew the images");
  put("notes.txt", "mine");
  put("holiday.jpg", "mine");
  const ImageFolder folder = open(Existing::kReplace, {{"seed", "1"}});
  EXPECT_EQ(folder.num_there(), 0);
  EXPECT_EQ(names(), (Names{"holiday.jpg", "notes.txt", "sample.json"}));
  EXPECT_THAT(read(path() / "sample.json"), HasSubstr(R"("seed": "1")"));
}

TEST_F(Folder, FilesOfOthersAreNeverReplaced) {
  put("grid.png", "a chart of somebody");
  EXPECT_THAT(refused(Existing::kReplace), HasSubstr("not replaced: grid.png."));
  put("0001.png", "a photo of somebody");
  EXPECT_THAT(refused(Existing::kReplace), HasSubstr("not replaced: 0001.png, grid.png."));
  fs::remove_all(path());
  draw(2);
  put("index.html", "a page of somebody");
  for (const auto existing : {Existing::kReplace, Existing::kResume})
    EXPECT_THAT(refused(existing, /*with_page=*/true), HasSubstr("not replaced: index.html."));
  check_folder(request(Existing::kReplace));
  fs::rename(path() / "0001.png", folder_ / "elsewhere.png");
  fs::create_symlink(folder_ / "elsewhere.png", path() / "0001.png");
  EXPECT_THAT(refused(Existing::kReplace), HasSubstr("not replaced: 0001.png."));
  EXPECT_EQ(names(), (Names{"0000.png", "0001.png", "index.html", "sample.json"}));
}

TEST_F(Folder, AGalleryIsBroughtUpToDate) {
  draw(3);
  EXPECT_FALSE(open(Existing::kResume).wants_page());
  put("index.html", "<title>Images</title> ... <div class=\"gallery\">");
  EXPECT_TRUE(open(Existing::kResume).wants_page());
  EXPECT_TRUE(open(Existing::kReplace).wants_page());
  EXPECT_EQ(names(), Names{"sample.json"});
}

// An archive of pixart sample does not stay next to other images; of another one nobody knows what it holds.
TEST_F(Folder, AnArchiveIsOfTheImagesNextToIt) {
  const auto archive = path() / kArchive;
  const auto save = [&] {
    formats::save_npz_of_bytes(archive, {1, 1, 1, 3}, [](const formats::TakeBytes& take) { take("abc"); });
  };
  const auto asked = [&](Existing existing) {
    FolderRequest wanted = request(existing);
    wanted.with_archive = true;
    return wanted;
  };
  draw(3);
  save();
  open(Existing::kResume);
  EXPECT_TRUE(fs::exists(archive)) << "of the same images";
  EXPECT_THAT(refused(Existing::kRefuse), HasSubstr("samples.npz"));
  open(Existing::kReplace, {{"seed", "1"}});
  EXPECT_EQ(names(), Names{"sample.json"});
  save();
  ImageFolder(asked(Existing::kReplace), {{"seed", "2"}}, text);
  EXPECT_EQ(names(), Names{"sample.json"});
  put(kArchive, "of somebody");
  open(Existing::kReplace, {{"seed", "3"}});
  EXPECT_EQ(read(archive), "of somebody");
  for (const auto existing : {Existing::kReplace, Existing::kResume})
    EXPECT_THAT(testing::refusal([&] { check_folder(asked(existing)); }),
                HasSubstr("not replaced: samples.npz."));
}

TEST_F(Folder, ASuiteNamesItsFiles) {
  FolderRequest named = request(Existing::kRefuse);
  named.name_of = [](int64_t i) { return fmt::format("{:05}/samples/0000.png", i); };
  named.side_files = {"00000/metadata.jsonl"};
  const auto refused_now = [&] { return testing::refusal([&] { ImageFolder(named, {}, text); }); };
  {
    ImageFolder folder(named, {{"seed", "0"}}, text);
    EXPECT_EQ(folder.name(2), "00002/samples/0000.png");
    folder.save(1, Image(4, 4, 7));
    const auto other = ImageFolder::of_another_rank(named, folder.there(), text);
    EXPECT_TRUE(other.is_there(1));
    EXPECT_EQ(other.num_there(), 1);
  }
  EXPECT_THAT(refused_now(), HasSubstr("holds 00001/samples/0000.png, sample.json"));
  fs::create_directories(path() / "00000");
  write_file_atomically(path() / "00000/metadata.jsonl", "of the suite");
  named.existing = Existing::kResume;
  const auto of_image = path() / "00001/samples/.tmp-0000.png-0123456789abcdef",
             of_side_file = path() / "00000/.tmp-metadata.jsonl-0123456789abcdef",
             of_others = path() / "00000/.tmp-notes.png-0123456789abcdef";
  for (const auto& file : {of_image, of_side_file, of_others}) write_file_atomically(file, "left by a kill");
  {
    ImageFolder folder(named, {{"seed", "0"}}, text);
    EXPECT_FALSE(fs::exists(of_image));
    EXPECT_FALSE(fs::exists(of_side_file));
    EXPECT_TRUE(fs::exists(of_others));
    EXPECT_EQ(folder.num_there(), 1);
    EXPECT_TRUE(fs::exists(path() / "00000/metadata.jsonl"));
    fs::rename(path() / "00001", path() / "00002");
    folder.look_again();
    EXPECT_FALSE(folder.is_there(1));
    EXPECT_TRUE(folder.is_there(2));
    fs::rename(path() / "00002", path() / "00001");
    fs::create_directory_symlink("00002", path() / "00002");  // to itself
    EXPECT_NO_THROW(folder.look_again());
    EXPECT_TRUE(folder.is_there(1));
    EXPECT_FALSE(folder.is_there(2));
    fs::remove(path() / "00002");
  }
  named.existing = Existing::kReplace;
  ImageFolder(named, {{"seed", "1"}}, text);
  EXPECT_FALSE(fs::exists(path() / "00001/samples/0000.png"));
  EXPECT_FALSE(fs::exists(path() / "00000/metadata.jsonl"));
}

TEST_F(Folder, OneProcessDrawsIntoIt) {
  const ImageFolder held = open(Existing::kResume);
  try {
    open(Existing::kResume);
    FAIL() << "not refused";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kFolderOwned);
    EXPECT_THAT(error.what(), HasSubstr("another process draws into this folder"));
  }
}

}  // namespace
}  // namespace pixart::sample
