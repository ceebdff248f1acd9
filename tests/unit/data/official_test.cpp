#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CaptionConfig kind(const std::string& name, double weight = 1, const std::string& column = "") {
  return {.name = name, .weight = weight, .column = column, .from = {}};
}

class Official : public Folder {
 protected:
  SourceConfig config(const std::string& name = "") const {
    SourceConfig result;
    result.name = "s";
    result.type = "pixart";
    result.path = folder_ / name;
    return result;
  }
};

constexpr const char* kTwo = R"([
  {"width": 4, "height": 3, "ratio": 0.75, "path": "a/b/1.png", "prompt": "one", "sharegpt4v": "one at length"},
  {"width": 4, "height": 3, "ratio": 0.75, "path": "2.png", "prompt": "two"}
])";

TEST_F(Official, InternDataWithImagesBesideIt) {
  write("InternData/partition/data_info.json", kTwo);
  write("InternData/ignored.json", "[]");
  image("InternImgs/a/b/1.png", 9);
  image("InternImgs/2.png");
  auto c = config("InternData");
  const auto plain = open_dataset(c);
  EXPECT_THAT(keys_of(*plain), ElementsAre("a/b/1.png", "2.png"));
  EXPECT_EQ(plain->caption(0), "one");
  EXPECT_EQ(plain->image(0).rgb[0], 9);
  c.captions = {kind("sharegpt4v", 3), kind("short", 1, "prompt")};
  const auto both = open_dataset(c)->row(0).captions;
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].text, "one at length");
  EXPECT_EQ(both[0].weight, 3);
  EXPECT_EQ(both[1].name, "short");
}

TEST_F(Official, ListsAreLookedForInThreePlaces) {
  for (const char* name : {"1.png", "2.png", "3.png"}) image(name);
  const auto list = [](const std::string& name) { return R"([{"path": ")" + name + R"(", "prompt": "x"}])"; };
  write("b.json", list("1.png"));
  write("a.json", list("2.png"));
  EXPECT_THAT(keys_of(*open_dataset(config())), ElementsAre("2.png", "1.png"));
  write("partition_filter/x.json", list("3.png"));
  EXPECT_THAT(keys_of(*open_dataset(config())), ElementsAre("3.png"));
  write("partition/x.json", list("1.png"));
  EXPECT_THAT(keys_of(*open_dataset(config())), ElementsAre("1.png"));
}

// The last '/' becomes '_', no other; images may be absent where both features are there.
TEST_F(Official, FeaturesOfInternData) {
  write("partition/data_info.json", kTwo);
  write("caption_feature_wmask/a/b_1.npz", "x");
  write("img_vae_features_256resolution/noflip/a/b_1.npy", "x");
  write("img_vae_features_1024resolution/noflip/a/b_1.npy", "x");
  write("caption_feature_wmask/2.npz", "x");
  const auto dataset = open_dataset(config());
  EXPECT_EQ(dataset->row(0).caption_file, folder_ / "caption_feature_wmask/a/b_1.npz");
  EXPECT_EQ(dataset->row(0).latent_file, folder_ / "img_vae_features_1024resolution/noflip/a/b_1.npy");
  EXPECT_TRUE(dataset->row(1).latent_file.empty());
  EXPECT_THAT(rejected_of(*dataset), ElementsAre("2.png missing_file"));
  try {
    dataset->bytes(0);
    FAIL();
  } catch (const BadSample& bad) {
    EXPECT_EQ(bad.rejection().reason, Reason::kMissingFile);
  }
}

TEST_F(Official, BadEntriesStayAndSayWhy) {
  image("1.png");
  image("2.png");
  write("partition/x.json", R"([{"path": "1.png", "prompt": "x"}, 7, {"prompt": "x"}, ["path"],
 {"path": "../1.png", "prompt": "x"}, {"path": "2.png", "prompt": {"a": [1]}}, {"path": "3.png", "prompt": "x"},
 {"path": "1.png", "prompt": "x"}])");
  const auto dataset = open_dataset(config());
  EXPECT_EQ(dataset->size(), 8);
  EXPECT_THAT(rejected_of(*dataset),
              ElementsAre("x.json entry 2 bad_row", "x.json entry 3 missing_field", "x.json entry 4 bad_row",
                          "x.json entry 5 path_outside", "2.png bad_row", "3.png missing_file",
                          "1.png duplicate_key"));
  const std::string text = R"([{"path": "1.png", "prompt": "x"}, 7, )";
  EXPECT_EQ(dataset->rejected()[1].offset, text.size());
}

// A list is one JSON text, but an entry that cannot be read does not end it.
TEST_F(Official, EntriesThatAreNotJsonStayAndSayWhy) {
  for (const char* name : {"1.png", "2.png"}) image(name);
  const std::string first = R"([{"path": "1.png", "prompt": "\"]}[{", "score": NaN},)";
  const std::string deep = std::string(5000, '[') + std::string(5000, ']');
  const std::vector<std::string> bad = {R"({"path": "1.png", "prompt": ")"
                                        "\xFF"
                                        R"("})",
                                        R"({"path": "1.png", "prompt": 1e999})",
                                        deep,
                                        R"({"path": "1.png" "prompt": "x"})",
                                        "",
                                        R"({"a": ]})"};
  std::string text = first;
  for (const auto& entry : bad) text += " " + entry + ",\n";
  write("partition/x.json", text + R"({"path": "2.png", "prompt": "x"} ])" + "\n");
  const auto dataset = open_dataset(config());
  ASSERT_EQ(dataset->size(), int64_t(bad.size()) + 2);
  EXPECT_EQ(dataset->caption(0), "\"]}[{");
  EXPECT_EQ(dataset->caption(int64_t(bad.size()) + 1), "x");
  ASSERT_EQ(dataset->rejected().size(), bad.size());
  for (const auto& rejection : dataset->rejected()) {
    EXPECT_EQ(rejection.reason, Reason::kBadRow) << rejection.detail;
    EXPECT_EQ(text.substr(rejection.offset, bad[size_t(rejection.row - 1)].size()),
              bad[size_t(rejection.row - 1)]);
  }
}

// JSON takes half of a surrogate pair, but no text holds one.
TEST_F(Official, AHalfOfASurrogatePairIsABadCaption) {
  for (const char* name : {"1.png", "2.png"}) image(name);
  write("partition/x.json", R"([{"path": "1.png", "prompt": "\ud800"}, {"path": "2.png", "prompt": "x"}])");
  const auto dataset = open_dataset(config());
  ASSERT_EQ(dataset->rejected().size(), 1);
  EXPECT_EQ(dataset->rejected()[0].row, 0);
  EXPECT_EQ(dataset->rejected()[0].reason, Reason::kBadCaptionText);
}

TEST_F(Official, ListsThatCannotBeReadAreErrors) {
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr("partition/part*.txt"), HasSubstr("partition/*.json")));
  write("partition/x.json", R"([{"path": "1.png", "prompt": "x"}, {"path": )");
  EXPECT_THAT(refusal(config()), AllOf(HasSubstr("x.json"), HasSubstr("cut off"), HasSubstr("byte 35")));
  write("partition/x.json", R"({"path": "1.png"})");
  EXPECT_THAT(refusal(config()), HasSubstr("not a list"));
  write("partition/x.json", std::string(100'000, '['));
  EXPECT_THAT(refusal(config()), HasSubstr("cut off"));
  write("partition/x.json", R"([{"path": "1.png", "prompt": "x"}] more)");
  EXPECT_THAT(refusal(config()), HasSubstr("not JSON"));
  write("partition/x.json", "");
  EXPECT_THAT(refusal(config()), HasSubstr("not JSON"));
}

TEST_F(Official, SamPartFiles) {
  write("partition/part0.txt", "sa_1\r\nsa_2\n\n");
  write("partition/part1.txt", "sa_3\n../sa_4\nsa_1\n");
  for (const char* name : {"sa_1", "sa_3"}) {
    image(std::string("images/") + name + ".jpg", 7);  // told by content
    write(std::string("captions/") + name + ".txt", "The image shows\na stamp.\n");
  }
  write("captions/sa_2.txt", "two");
  write("caption_feature_wmask/sa_2.npz", "x");
  write("img_vae_feature/train_vae_256/noflip/sa_2.npy", "x");
  const auto dataset = open_dataset(config());
  EXPECT_THAT(keys_of(*dataset), ElementsAre("sa_1", "sa_2", "sa_3", "../sa_4", "sa_1"));
  EXPECT_EQ(dataset->caption(0), "The image shows\na stamp.");
  EXPECT_EQ(dataset->image(0).rgb[0], 7);
  EXPECT_EQ(dataset->row(1).latent_file, folder_ / "img_vae_feature/train_vae_256/noflip/sa_2.npy");
  EXPECT_EQ(dataset->row(1).caption_file, folder_ / "caption_feature_wmask/sa_2.npz");
  EXPECT_THAT(rejected_of(*dataset), ElementsAre("../sa_4 path_outside", "sa_1 duplicate_key"));
  EXPECT_EQ(dataset->rejected()[0].offset, 5u);
}

}  // namespace
}  // namespace pixart::data
