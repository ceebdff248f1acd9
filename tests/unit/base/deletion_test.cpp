#include "pixart/base/deletion.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Deletion : public ::testing::Test {
 protected:
  Deletion() : folder_(fs::path(::testing::TempDir()) / fmt::format("pixart_deletion_{}", process_id())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "elsewhere");
    file("elsewhere/thesis.tex");
  }
  ~Deletion() override {
    EXPECT_EQ(read_file(folder_ / "elsewhere/thesis.tex"), "thesis");
    fs::remove_all(folder_);
  }

  void file(const std::string& name) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << "thesis";
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path folder_;
  ForeignEntries foreign_ = all_but({R"(model\.safetensors)", R"(vae/config\.json)"});
};

TEST_F(Deletion, NamesWhatIsForeign) {
  for (const char* name :
       {"model/model.safetensors", "model/vae/config.json", "model/.tmp-model.safetensors-0123456789abcdef",
        "model/vae/.tmp-config.json-0123456789abcdef"})
    file(name);
  fs::create_directories(folder_ / "model/empty/inner");
  EXPECT_THAT(foreign_(folder_ / "model"), IsEmpty());
  EXPECT_EQ(all_entries(folder_ / "model").size(), 4);
  for (const char* name :
       {"model/.git/HEAD", "model/model.safetensors.old", "model/config.json", "model/vae/model.safetensors",
        "model/my-model.safetensors", "model/.tmp-model.safetensors-0123", "model/.tmp-work/thesis.tex"})
    file(name);
  EXPECT_THAT(foreign_(folder_ / "model"),
              ElementsAre(".git/HEAD", ".tmp-model.safetensors-0123", ".tmp-work/thesis.tex", "config.json",
                          "model.safetensors.old", "my-model.safetensors", "vae/model.safetensors"));
  EXPECT_THAT(foreign_(folder_ / "missing"), IsEmpty());
}

TEST_F(Deletion, PipesAndLinkedFoldersAreForeign) {
  fs::create_directories(folder_ / "model");
  ASSERT_EQ(::mkfifo((folder_ / "model/model.safetensors").c_str(), 0600), 0);
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "model/vae");
  EXPECT_THAT(foreign_(folder_ / "model"), ElementsAre("model.safetensors", "vae"));
  EXPECT_FALSE(delete_tree(folder_ / "model", foreign_));
}

TEST_F(Deletion, OfOurOwnIsWhole) {
  file("model/model.safetensors");
  file("model/vae/config.json");
  delete_folder(folder_ / "model", foreign_);
  EXPECT_THAT(names(), ElementsAre("elsewhere"));
  EXPECT_THROW(delete_folder(folder_ / "model", foreign_), UserError);
  file("model/model.safetensors");
  EXPECT_TRUE(delete_tree(folder_ / "model", foreign_));
  EXPECT_TRUE(delete_tree(folder_ / "model", foreign_));  // it is gone
}

TEST_F(Deletion, OfAFolderWithOneForeignEntryIsRefusedWhole) {
  file("model/model.safetensors");
  file("model/vae/notes/thesis.tex");
  EXPECT_FALSE(delete_tree(folder_ / "model", foreign_));
  try {
    delete_folder(folder_ / "model", foreign_);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr((folder_ / "model").string()),
                                    HasSubstr("vae/notes/thesis.tex"), HasSubstr("Move them away")));
  }
  EXPECT_THAT(names(), ElementsAre("elsewhere", "model"));
  EXPECT_TRUE(fs::exists(folder_ / "model/model.safetensors"));
}

TEST_F(Deletion, OfALinkLeavesItsTarget) {
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "folder");
  fs::create_symlink(folder_ / "elsewhere/thesis.tex", folder_ / "file");
  EXPECT_TRUE(delete_tree(folder_ / "folder", all_entries));
  EXPECT_TRUE(delete_file(folder_ / "file"));
  file("model/model.safetensors");
  fs::create_symlink(folder_ / "elsewhere/thesis.tex",
                     folder_ / "model/.tmp-model.safetensors-0123456789abcdef");
  delete_folder(folder_ / "model", foreign_);
  EXPECT_THAT(names(), ElementsAre("elsewhere"));
}

TEST_F(Deletion, OfAnEmptyFolderLeavesOneThatIsNot) {
  fs::create_directories(folder_ / "empty");
  fs::create_directories(folder_ / "full/empty");
  EXPECT_TRUE(delete_empty_folder(folder_ / "empty"));
  EXPECT_TRUE(delete_empty_folder(folder_ / "missing"));
  EXPECT_FALSE(delete_empty_folder(folder_ / "full"));
  EXPECT_FALSE(delete_empty_folder(folder_ / "elsewhere"));
  EXPECT_THAT(names(), ElementsAre("elsewhere", "full"));
}

TEST_F(Deletion, AFileIsNeverAFolder) {
  fs::create_directories(folder_ / "empty");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_FALSE(delete_file(folder_ / "empty"));
  EXPECT_FALSE(delete_file(folder_ / "pipe"));
  EXPECT_TRUE(delete_file(folder_ / "missing"));
  EXPECT_THAT(names(), ElementsAre("elsewhere", "empty", "pipe"));
}

}  // namespace
}  // namespace pixart
