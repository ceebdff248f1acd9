#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ClassFolder : public Folder {
 protected:
  SourceConfig config() const {
    SourceConfig result;
    result.name = "imagenet";
    result.type = "class_folder";
    result.path = folder_;
    return result;
  }
};

TEST_F(ClassFolder, LabelsFollowTheSortedFolders) {
  image("great_white_shark/b.png", 7);
  image("goldfish/z.png");
  image("goldfish/more/a.png");
  image("goldfish-pond/q.png");  // '-' sorts before '/', so the keys are not in the order of the classes
  image(".git/x.png");
  const auto dataset = open_dataset(config());
  EXPECT_THAT(dataset->class_names(), ElementsAre("goldfish", "goldfish-pond", "great_white_shark"));
  EXPECT_THAT(keys_of(*dataset), ElementsAre("goldfish-pond/q.png", "goldfish/more/a.png", "goldfish/z.png",
                                             "great_white_shark/b.png"));
  EXPECT_EQ(dataset->label(0), 1);
  EXPECT_EQ(dataset->label(1), 0);
  EXPECT_EQ(dataset->label(2), 0);
  EXPECT_EQ(dataset->label(3), 2);
  EXPECT_EQ(dataset->caption(3), "great white shark");
  EXPECT_EQ(dataset->image(3).rgb[0], 7);
}

TEST_F(ClassFolder, EmptyClassesAndStrayImagesAreReportedTogether) {
  image("n1/a.png");
  write("n2/readme.txt", "nothing here");
  image("stray.png");
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr("source imagenet"),
                                       HasSubstr("1 image(s) are not in a class folder: stray.png"),
                                       HasSubstr("1 of 2 class folders hold no image"), HasSubstr("n2")));
}

TEST_F(ClassFolder, WithoutSubFoldersItIsRefused) {
  EXPECT_THAT(refusal(config()), HasSubstr("no sub-folders"));
}

TEST_F(ClassFolder, MaxSamplesKeepsAllClassNames) {
  image("a/1.png");
  image("a/2.png");
  image("b/1.png");
  auto two = config();
  two.max_samples = 2;
  const auto dataset = open_dataset(two);
  EXPECT_EQ(dataset->size(), 2);
  EXPECT_THAT(dataset->class_names(), ElementsAre("a", "b"));
  EXPECT_NE(dataset->fingerprint(), open_dataset(config())->fingerprint());
}

TEST_F(ClassFolder, FingerprintFollowsClassNames) {
  image("a/1.png");
  image("b/1.png");
  auto one = config();
  one.max_samples = 1;
  const std::string before = open_dataset(one)->fingerprint();
  EXPECT_EQ(open_dataset(one)->fingerprint(), before);
  image("c/1.png");
  EXPECT_NE(open_dataset(one)->fingerprint(), before);
}

}  // namespace
}  // namespace pixart::data
