#include <ATen/ATen.h>

#include "npy_writer.h"
#include "pixart/formats/npy.h"
#include "zip_archive.h"
#include "zip_record.h"

namespace pixart::formats {
namespace {

using ::testing::HasSubstr;

// np.savez_compressed(caption_feature=np.zeros((4, 8), 'f2'), attention_mask=np.array([True, False])),
// numpy 2.4.
constexpr std::string_view kOfNumpy =
    "504b03042d0000000800000021000c3dfe8bffffffffffffffff1300140063617074696f6e5f666561747572652e6e70"
    "7901001000c00000000000000049000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366a4aea3"
    "a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91a263a0a169a3a0ab50a64032e060a0100504b"
    "03042d000000080000002100ee19bb5dffffffffffffffff12001400617474656e74696f6e5f6d61736b2e6e70790100"
    "1000820000000000000046000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a05e9364a8aea3a09e96"
    "5f54529498179f5f94920a12774bcc294e058a17672416a402f91a463a9a3a0ab50a14002e460600504b01022d032d00"
    "00000800000021000c3dfe8b49000000c000000013000000000000000000000080010000000063617074696f6e5f6665"
    "61747572652e6e7079504b01022d032d000000080000002100ee19bb5d46000000820000001200000000000000000000"
    "0080018e000000617474656e74696f6e5f6d61736b2e6e7079504b0506000000000200020081000000180100000000";

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 2)
    bytes += char(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  return bytes;
}

class Npz : public Folder {
 protected:
  std::map<std::string, at::Tensor> arrays(const std::string& bytes) const {
    return load_npz(write("a.npz", bytes));
  }
  std::string refusal_of(const std::vector<ZipPart>& parts) const {
    return refusal([&] { arrays(zip_of(parts)); });
  }
};

const std::string kArray = npy_of({});

TEST_F(Npz, ReadsWhatNumpyWrites) {
  const auto got = arrays(from_hex(kOfNumpy));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(at::equal(got.at("caption_feature"), at::zeros({4, 8}, at::kHalf)));
  EXPECT_TRUE(at::equal(got.at("attention_mask"), at::arange(2).eq(0)));
}

TEST_F(Npz, ReadsStoredAndDeflatedArrays) {
  const auto got = arrays(zip_of({{"stored.npy", kArray}, deflated_part("a.b.npy", kArray)}));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(at::equal(got.at("stored"), got.at("a.b")));
  EXPECT_TRUE(at::equal(got.at("a.b"), at::arange(6, at::kFloat).reshape({2, 3})));
  EXPECT_TRUE(arrays(zip_of({})).empty());
}

// More than one piece on both sides of zlib.
TEST_F(Npz, ReadsLargeArrays) {
  std::string data(20'000'000, '\0');
  uint32_t state = 1;
  for (char& c : data) c = char((state = state * 1664525 + 1013904223) >> 28);
  const std::string array = npy_of({.descr = "'|u1'", .shape = "(20000000,)", .data = data});
  const auto got = arrays(zip_of({deflated_part("x.npy", array)})).at("x");
  EXPECT_TRUE(std::equal(data.begin(), data.end(), static_cast<const char*>(got.const_data_ptr())));
}

TEST_F(Npz, RefusesNamesThatAreNotPlain) {
  for (const char* name :
       {"a/b.npy", "../a.npy", "/a.npy", "a\\b.npy", "a\n.npy", "\xff.npy", "..", "a.npy/"})
    EXPECT_THAT(refusal_of({{name, kArray}}), HasSubstr("not have a plain name")) << name;
  EXPECT_THAT(refusal_of({{"a.txt", kArray}}), HasSubstr("not an array"));
  EXPECT_THAT(refusal_of({{".npy", kArray}}), HasSubstr("not an array"));
  EXPECT_THAT(refusal_of({{"a.npy", kArray}, {"a.npy", kArray}}), HasSubstr("two records called"));
}

TEST_F(Npz, RefusesArraysThatAreNone) {
  EXPECT_THAT(refusal_of({{"a.npy", "abc"}}), HasSubstr("a.npz: 'a.npy'"));
  EXPECT_THAT(refusal_of({deflated_part("a.npy", npy_of({.descr = "'|O'"}))}), HasSubstr("pickled"));
  EXPECT_THAT(refusal_of({deflated_part("a.npy", kArray + "x")}), HasSubstr("25 follow"));
}

TEST_F(Npz, ChecksContentsByCrc) {
  ZipPart part = deflated_part("a.npy", kArray);
  part.crc_error = 1;
  EXPECT_THAT(refusal_of({part}), HasSubstr("CRC-32"));
  EXPECT_THAT(refusal_of({{.name = "a.npy", .data = kArray, .crc_error = 1}}), HasSubstr("CRC-32"));
}

// What the directory announces is what memory is taken for.
TEST_F(Npz, RefusesSizesThatLie) {
  ZipPart bomb = deflated_part("a.npy", kArray);
  bomb.bytes_error = 1'000'000;
  EXPECT_THAT(refusal_of({bomb}), HasSubstr("cannot come from"));

  const std::string claims_more = npy_of({.shape = "(100,)"}), claims_less = npy_of({.shape = "(5,)"});
  ZipPart more = deflated_part("a.npy", claims_more), less = deflated_part("a.npy", claims_less);
  more.bytes_error = 400 - 24, less.bytes_error = uint64_t(-4);
  EXPECT_THAT(refusal_of({more}), HasSubstr("has fewer than"));
  EXPECT_THAT(refusal_of({less}), HasSubstr("has more than"));
}

TEST_F(Npz, RefusesDamagedDeflatedData) {
  ZipPart part = deflated_part("a.npy", kArray);
  part.data += '\0';
  EXPECT_THAT(refusal_of({part}), HasSubstr("continues after"));
  part.data.resize(part.data.size() - 2);
  EXPECT_THAT(refusal_of({part}), HasSubstr("cut off"));
  part.data = std::string(part.data.size(), '\xff');
  EXPECT_THAT(refusal_of({part}), HasSubstr("cannot be inflated"));
  part.method = 12;
  EXPECT_THAT(refusal_of({part}), HasSubstr("by an unknown method"));
}

TEST_F(Npz, SurvivesEveryChangedByte) {
  const std::string bytes = from_hex(kOfNumpy);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int change : {1, 0x80, 0xFF}) {
      std::string changed = bytes;
      changed[i] = char(changed[i] ^ change);
      try {
        arrays(changed);
      } catch (const UserError&) {
      }
    }
  }
  for (size_t count = 0; count < bytes.size(); ++count)
    EXPECT_THROW(arrays(bytes.substr(0, count)), UserError) << count;
}

TEST_F(Npz, AnEmptyArrayKeepsTheChecksumOfItsHeader) {
  const auto file = folder_ / "empty.npz";
  save_npz(file, {{"none", at::empty({0}, at::kByte)}, {"one", at::ones({1}, at::kByte)}});
  const auto read = load_npz(file);
  EXPECT_EQ(read.at("none").numel(), 0);
  EXPECT_EQ(read.at("one").item<int>(), 1);
}

TEST_F(Npz, EmptyRecordsCanBeDeflated) {
  const InputFile file(write("a.npz", zip_of({{.name = "e", .data = std::string("\3\0", 2), .method = 8}})));
  ZipRecord record{.name = "e", .offset = 31, .stored_bytes = 2, .is_deflated = true};
  EXPECT_NO_THROW(read_record(file, record, nullptr));
}

}  // namespace
}  // namespace pixart::formats
