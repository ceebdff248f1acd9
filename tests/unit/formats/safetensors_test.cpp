#include "pixart/formats/safetensors.h"

#include "folder.h"

namespace pixart::formats {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

SafetensorsHeader parse(const std::string& json, uint64_t data_bytes) {
  const std::string head = little_endian(json.size(), 8) + json;
  return parse_safetensors_header(head, head.size() + data_bytes, "w.safetensors");
}

std::string entry(const std::string& name, const std::string& shape, uint64_t begin, uint64_t end) {
  return fmt::format(R"("{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})", name, shape, begin, end);
}

TEST(SafetensorsHeader, KnowsWhereTensorsLie) {
  const auto header = parse(
      R"({"__metadata__":{"a":"b"},)" + entry("w", "[2,3]", 4, 28) + "," + entry("b", "[1]", 0, 4) + "} ",
      28);
  EXPECT_EQ(header.metadata.at("a"), "b");
  EXPECT_EQ(header.tensors.at("w").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header.tensors.at("w").begin, 4u);
  EXPECT_EQ(header.tensors.at("b").end, 4u);
  EXPECT_EQ(header.file_bytes, header.data_offset + 28);
}

TEST(SafetensorsHeader, MessagesNameFileTensorAndReason) {
  EXPECT_THAT(
      refusal([] { parse("{" + entry("w", "[2]", 0, 4) + "}", 4); }),
      AllOf(HasSubstr("w.safetensors"), HasSubstr("'w'"), HasSubstr("4 bytes"), HasSubstr("needs 8")));
}

TEST(SafetensorsHeader, OverflowIsRefusedWhereverTheZeroStands) {
  const std::string huge = "4611686018427387904";
  EXPECT_THROW(parse("{" + entry("w", "[0," + huge + "," + huge + "]", 0, 0) + "}", 0), UserError);
  EXPECT_THROW(parse("{" + entry("w", "[" + huge + "," + huge + ",0]", 0, 0) + "}", 0), UserError);
  EXPECT_NO_THROW(parse("{" + entry("w", "[0,1000]", 0, 0) + "}", 0));
}

TEST(SafetensorsHeader, LimitsAreOurs) {
  EXPECT_NO_THROW(parse("{" + entry("w", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 0, 4) + "}", 4));
  EXPECT_THROW(parse("{" + entry("w", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 0, 4) + "}", 4), UserError);
  EXPECT_NO_THROW(parse("{" + entry(std::string(4096, 'n'), "[1]", 0, 4) + "}", 4));
  EXPECT_THROW(parse("{" + entry(std::string(4097, 'n'), "[1]", 0, 4) + "}", 4), UserError);
}

TEST(SafetensorsHeader, MessagesStayShortAndPrintable) {
  const std::string message =
      refusal([] { parse(R"({"w":{"\u001b[31m)" + std::string(100'000, 'x') + R"(":1}})", 0); });
  EXPECT_LT(message.size(), 500u);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

using SafetensorsFile = Folder;

TEST_F(SafetensorsFile, NamesWhatIsNoFile) {
  EXPECT_THAT(refusal([&] { read_safetensors_header(folder_ / "absent"); }), HasSubstr("absent"));
  EXPECT_THAT(refusal([&] { read_safetensors_header(folder_); }), HasSubstr("regular file"));
  EXPECT_THAT(refusal([&] {
                read_safetensors_header(write("pointer", "version https://git-lfs.github.com/spec/v1\n"));
              }),
              HasSubstr("git lfs pull"));
  const std::pair<const char*, const char*> others[] = {{"<html><body>401</body></html>", "an HTML page"},
                                                        {"Entry not found", "text: 'Entry not found'"},
                                                        {R"({"error": "gated"})", "JSON"},
                                                        {"PK\3\4 of torch.save", "a zip archive"}};
  for (const auto& [bytes, what] : others)
    EXPECT_THAT(refusal([&] { read_safetensors_header(write("w.safetensors", bytes)); }), HasSubstr(what));
}

TEST(SafetensorsHeader, TypesThatAreNotKnownAreNamed) {
  const auto with = [](const std::string& dtype) {
    return refusal(
        [&] { parse(R"({"w":{"dtype":")" + dtype + R"(","shape":[2],"data_offsets":[0,1]}})", 1); });
  };
  EXPECT_THAT(with("F4"),
              AllOf(HasSubstr("'w'"), HasSubstr("'F4'"), HasSubstr("smaller than a byte"), HasSubstr("F16")));
  EXPECT_THAT(with("F6_E2M3"), HasSubstr("smaller than a byte"));
  EXPECT_THAT(with("Q9_K"), AllOf(HasSubstr("'Q9_K'"), HasSubstr("not known")));
}

TEST(DtypeBits, OfKnownTypes) {
  EXPECT_EQ(dtype_bits("BF16"), 16);
  EXPECT_EQ(dtype_bits("F64"), 64);
  EXPECT_EQ(dtype_bits("f32"), 0);
  EXPECT_EQ(dtype_bits("F4"), 0);
}

}  // namespace
}  // namespace pixart::formats
