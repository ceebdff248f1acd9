// `pixart data stats` on Tux Paint's captioned stamps (Debian's tuxpaint-stamps-default), and on a few
// images with two kinds of captions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "process.h"

namespace pixart::testing {
namespace {
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

const std::string kStamps = "/usr/share/tuxpaint/stamps";

class DataStats : public ::testing::Test {
 protected:
  ProcessResult stats(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"data", "stats"});
    return run_pixart(arguments, folder_.path());
  }

  // Images with a short caption each, and long ones in a file of `pixart caption`. Counting opens no
  // image.
  void write_images() const {
    fs::create_directory(folder_ / "pictures");
    std::string lines;
    for (const std::string name : {"a", "b", "c"}) {
      fs::copy_file(kStamps + "/seasonal/halloween/spider.png", folder_ / ("pictures/" + name + ".png"));
      write_text(folder_ / ("pictures/" + name + ".txt"), "a spider\n");
      lines += R"({"key": ")" + name +
               R"(.png", "caption": "A spider sits in its web on the wall of a house."})"
               "\n";
    }
    write_text(folder_ / "long.jsonl", lines);
  }
  static std::vector<std::string> two_kinds() {
    return {"pictures", "--set", "captions=[{name: caption}, {name: long, from: long.jsonl}]"};
  }

  TemporaryFolder folder_;
};

TEST_F(DataStats, OfTheStamps) {
  const auto result = stats({kStamps, "--set", "missing_caption=skip", "--set", "missing_caption_share=0.5",
                             "--html", "stamps.html", "--top", "5"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("valid / distinct nouns"), HasSubstr("23K / 124K = 18.6 %"),
                                   HasSubstr("sign "), HasSubstr("images are not counted: missing_caption")));
  std::ifstream stream(folder_ / "stamps.html");
  const std::string page{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_THAT(page,
              AllOf(HasSubstr("<polyline"), HasSubstr("paper: Internal"), HasSubstr("<span>letter</span>")));
}

TEST_F(DataStats, JsonAddsUp) {
  const auto result =
      stats({kStamps, "--set", "missing_caption=skip", "--set", "missing_caption_share=0.5", "--json"});
  ASSERT_EQ(result.code, 0) << result.output;
  const auto json = nlohmann::json::parse(result.output.substr(result.output.find("{\n")));
  const auto& row = json.at("rows").at(0);
  EXPECT_EQ(row.at("images").get<int64_t>() + json.at("not_counted").at("missing_caption").get<int64_t>(),
            json.at("images").get<int64_t>());
  EXPECT_EQ(row.at("top").size(), 20u);
  EXPECT_GT(row.at("distinct_nouns"), 400);
  EXPECT_GT(row.at("total_nouns"), row.at("distinct_nouns"));
  EXPECT_NEAR(row.at("nouns_per_image").get<double>(),
              row.at("total_nouns").get<double>() / row.at("images").get<double>(), 1e-9);
  EXPECT_EQ(json.at("paper").size(), 4u);
}

TEST_F(DataStats, BeforeAndAfterCaptioning) {
  write_images();
  auto arguments = two_kinds();
  const auto both = stats(arguments);
  ASSERT_EQ(both.code, 0) << both.output;
  EXPECT_THAT(both.output, HasSubstr("caption -> long: nouns per image 1.0 -> 4.0 (4.0x)"));
  arguments.insert(arguments.end(), {"--before", "long", "--after", "caption"});
  EXPECT_THAT(stats(arguments).output, HasSubstr("long -> caption: nouns per image 4.0 -> 1.0 (0.2x)"));
  arguments = two_kinds();
  arguments.insert(arguments.end(), {"--captions", "long"});
  EXPECT_THAT(stats(arguments).output, Not(HasSubstr("->")));
}

TEST_F(DataStats, OpeningsThatManyCaptionsShareAreNamed) {
  fs::create_directory(folder_ / "images");
  for (int i = 0; i < 12; ++i) {
    const std::string stem = folder_ / ("images/" + std::to_string(i));
    fs::copy_file(kStamps + "/seasonal/halloween/spider.png", stem + ".png");
    write_text(stem + ".txt", (i < 3   ? "no opening"
                               : i < 6 ? "Here is the caption: a spider "
                                       : "a photo of a cat") +
                                  std::to_string(i) + "\n");
  }
  write_text(folder_ / "page.html", "mine");
  const auto refused = stats({"images", "--html", "page.html"});
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("page.html is there and is not a page of pixart data stats"));
  std::filesystem::remove(folder_ / "page.html");
  ASSERT_EQ(stats({"images", "--html", "page.html"}).code, 0);
  const auto result = stats({"images", "--html", "page.html"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("Warning: caption: 6 of 12 captions (50.0 %) begin with \"a photo of"),
                    Not(HasSubstr("Here is the caption"))));
  std::ifstream stream(folder_ / "page.html");
  EXPECT_THAT(std::string(std::istreambuf_iterator<char>(stream), {}), HasSubstr("a photo of"));
  const auto json = stats({"images", "--json"});
  const auto parsed = nlohmann::json::parse(json.output.substr(json.output.find("{\n")));
  const auto& openings = parsed.at("rows").at(0).at("openings");
  ASSERT_EQ(openings.size(), 1u);
  EXPECT_EQ(openings[0].at("captions"), 6);
  EXPECT_EQ(openings[0].at("lead_in"), false);
}

TEST_F(DataStats, UnknownKindIsRefusedWithThoseThatThereAre) {
  write_images();
  auto arguments = two_kinds();
  arguments.insert(arguments.end(), {"--before", "lang"});
  const auto result = stats(arguments);
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("caption, long"), HasSubstr("Did you mean 'long'?")));
}

TEST_F(DataStats, WithoutWordNetThePackageIsNamed) {
  write_images();
  const auto result = stats({"pictures", "--wordnet", "pictures", "--html", "page.html"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, AllOf(HasSubstr("wordnet-base"), HasSubstr("index.noun")));
  EXPECT_FALSE(fs::exists(folder_ / "page.html"));
}

TEST_F(DataStats, WithoutCaptionsNothingIsCounted) {
  write_images();
  for (const std::string name : {"a", "b", "c"}) fs::remove(folder_ / ("pictures/" + name + ".txt"));
  const auto result =
      stats({"pictures", "--set", "missing_caption=empty", "--set", "missing_caption_share=1"});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.output, HasSubstr("none of the 3 images has a caption"));
}

}  // namespace
}  // namespace pixart::testing
