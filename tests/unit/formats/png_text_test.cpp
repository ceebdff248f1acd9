#include <gmock/gmock.h>

#include "folder.h"
#include "pixart/base/file.h"
#include "pixart/formats/image_file.h"

namespace pixart::formats {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class PngText : public Folder {};

TEST_F(PngText, WhatWasWrittenIsRead) {
  const auto path = folder_ / "a.png";
  save_png(path, Image(2, 3, 200),
           {{"prompt", "a red circle, \u00e9t\u00e9 \xe6\x97\xa5"}, {"seed", "7"}, {"empty", ""}});
  EXPECT_THAT(read_png_text(path),
              UnorderedElementsAre(Pair("prompt", "a red circle, \u00e9t\u00e9 \xe6\x97\xa5"),
                                   Pair("seed", "7"), Pair("empty", "")));
  save_png(path, Image(2, 3, 200));
  EXPECT_TRUE(read_png_text(path).empty());
}

TEST_F(PngText, OtherAndDamagedFilesAreRefused) {
  const auto path = folder_ / "a.png";
  save_png(path, Image(2, 3, 200), {{"prompt", "a red circle"}});
  const std::string good = read_file(path);
  write_file_atomically(path, "GIF89a");
  EXPECT_THROW(read_png_text(path), UserError);
  for (size_t length = 8; length + 1 < good.size(); length += 7) {
    write_file_atomically(path, good.substr(0, length));
    EXPECT_THROW(read_png_text(path), UserError) << length;
  }
  std::string bad = good;
  bad[good.find("circle")] = 'x';
  write_file_atomically(path, bad);
  EXPECT_THROW(read_png_text(path), UserError);
}

}  // namespace
}  // namespace pixart::formats
