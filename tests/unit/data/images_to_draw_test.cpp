#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ImagesToDraw : public Folder {
 protected:
  SourceConfig config(int64_t draw) const {
    SourceConfig result;
    result.name = "dogs";
    result.path = folder_ / "dogs";
    result.prompt = "a photo of a dog";
    result.draw = draw;
    return result;
  }
};

TEST_F(ImagesToDraw, AFolderThatIsNotThereLacksAll) {
  EXPECT_THAT(images_to_draw(config(3)), ElementsAre(0, 1, 2));
  EXPECT_THAT(images_to_draw(config(0)), IsEmpty());
  EXPECT_EQ(drawn_image(config(3), 2), folder_ / "dogs" / "drawn-00002.png");
}

TEST_F(ImagesToDraw, OtherImagesCountAndDrawnOnesStay) {
  image("dogs/mine.jpg");
  image("dogs/more/two.png");
  image("dogs/.hidden.png");
  image("dogs/drawn-00001.png");
  write("dogs/notes.txt", "no image");
  EXPECT_THAT(images_to_draw(config(5)), ElementsAre(0, 2));
  EXPECT_THAT(images_to_draw(config(4)), ElementsAre(0));
  EXPECT_THAT(images_to_draw(config(2)), IsEmpty());
}

TEST_F(ImagesToDraw, RowsAreKnownBeforeTheyAreDrawn) {
  image("dogs/mine.png");
  const auto planned = open_dataset(config(3));
  EXPECT_THAT(keys_of(*planned), ElementsAre("drawn-00000.png", "drawn-00001.png", "mine.png"));
  EXPECT_EQ(planned->caption(1), "a photo of a dog");
  EXPECT_THAT(planned->rejected(), IsEmpty());
  try {
    planned->bytes(2);
    ADD_FAILURE() << "a row was read";
  } catch (const BadSample& bad) {
    EXPECT_THAT(bad.what(), HasSubstr("pixart train draws them before the stage"));
  }
  image("dogs/drawn-00000.png");
  image("dogs/drawn-00001.png");
  const auto drawn = open_dataset(config(3));
  EXPECT_EQ(keys_of(*drawn), keys_of(*planned));
  EXPECT_EQ(drawn->caption(1), "a photo of a dog");
  EXPECT_EQ(drawn->image(0).width, 4);
  EXPECT_NE(drawn->fingerprint(), planned->fingerprint());
}

TEST_F(ImagesToDraw, APromptReplacesTheFilesOfCaptions) {
  captioned("dogs/a", "what the file says");
  image("dogs/b.png");
  const auto dataset = open_dataset(config(0));
  EXPECT_EQ(dataset->caption(0), "a photo of a dog");
  EXPECT_EQ(dataset->caption(1), "a photo of a dog");
}

}  // namespace
}  // namespace pixart::data
