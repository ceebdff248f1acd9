#include "pixart/formats/npy.h"

#include <ATen/ATen.h>

#include "npy_writer.h"
#include "pixart/formats/npz_bytes.h"

namespace pixart::formats {
namespace {

using ::testing::HasSubstr;

class Npy : public Folder {
 protected:
  at::Tensor array(const std::string& bytes) const { return load_npy(write("a.npy", bytes)); }
  std::string refusal_of_bytes(const std::string& bytes) const {
    return refusal([&] { array(bytes); });
  }
  std::string refusal_of(const NpyParts& parts) const { return refusal_of_bytes(npy_of(parts)); }
};

const at::Tensor& six() {
  static const at::Tensor tensor = at::arange(6, at::kFloat).reshape({2, 3});
  return tensor;
}

// np.save of np.asfortranarray(np.arange(6, dtype='<f4').reshape(2, 3)), numpy 2.4.
TEST_F(Npy, ReadsWhatNumpyWrites) {
  std::string text = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }";
  text += std::string(117 - text.size(), ' ') + "\n";
  const std::string bytes = std::string("\x93NUMPY\x01\x00v\x00", 10) + text +
                            std::string("\0\0\0\0\0\0@@\0\0\x80?\0\0\x80@\0\0\0@\0\0\xa0@", 24);
  ASSERT_EQ(bytes.size(), 152u);
  EXPECT_TRUE(at::equal(array(bytes), six()));
}

TEST_F(Npy, ReadsEachVersion) {
  for (const int version : {1, 2, 3}) EXPECT_TRUE(at::equal(array(npy_of({.version = version})), six()));
  EXPECT_THAT(refusal_of({.version = 4}), HasSubstr("version 4.0"));
  EXPECT_THAT(refusal_of({.version = 0}), HasSubstr("version 0.0"));
  EXPECT_THAT(refusal_of({.version = 0x101}), HasSubstr("version 1.1"));
}

TEST_F(Npy, ReadsEachType) {
  const std::pair<const char*, at::ScalarType> types[] = {
      {"|b1", at::kBool},   {"|i1", at::kChar},        {"<i2", at::kShort},  {"<i4", at::kInt},
      {"<i8", at::kLong},   {"|u1", at::kByte},        {"<u2", at::kUInt16}, {"<u4", at::kUInt32},
      {"<u8", at::kUInt64}, {"<f2", at::kHalf},        {"<f4", at::kFloat},  {"<f8", at::kDouble},
      {"=i4", at::kInt},    {"<c8", at::kComplexFloat}};
  for (const auto& [descr, type] : types) {
    const at::Tensor want = (at::arange(6, at::kInt) % 2).reshape({3, 2}).to(type);
    const std::string data(static_cast<const char*>(want.const_data_ptr()), want.nbytes());
    const NpyParts parts{.descr = "'" + std::string(descr) + "'", .shape = "(3, 2)", .data = data};
    const at::Tensor got = array(npy_of(parts));
    EXPECT_EQ(got.scalar_type(), type) << descr;
    EXPECT_TRUE(at::equal(got.to(at::kDouble), want.to(at::kDouble))) << descr;
    NpyParts column = parts;
    column.fortran_order = "True", column.shape = "(2, 3)";
    const at::Tensor transposed = array(npy_of(column));
    EXPECT_TRUE(transposed.is_contiguous()) << descr;
    EXPECT_TRUE(at::equal(transposed.to(at::kDouble), want.to(at::kDouble).t())) << descr;
  }
}

TEST_F(Npy, ReadsEachShape) {
  EXPECT_EQ(array(npy_of({.shape = "()", .data = floats({7})})).item<float>(), 7);
  EXPECT_EQ(array(npy_of({.fortran_order = "True", .shape = "()", .data = floats({7})})).item<float>(), 7);
  EXPECT_EQ(array(npy_of({.shape = "(6,)"})).sizes(), at::IntArrayRef({6}));
  EXPECT_EQ(array(npy_of({.shape = "(0, 4)", .data = ""})).sizes(), at::IntArrayRef({0, 4}));
  const at::Tensor cube = array(npy_of({.fortran_order = "True", .shape = "(1, 2, 3)"}));
  EXPECT_TRUE(at::equal(cube, at::arange(6, at::kFloat).reshape({3, 2, 1}).permute({2, 1, 0})));
}

TEST_F(Npy, RefusesTypesThatAreNoNumbers) {
  EXPECT_THAT(refusal_of({.descr = "'>f4'"}),
              HasSubstr("'>f4' is big-endian, which is not read: save array.astype('<f4')"));
  const auto of_doubles = refusal_of({.descr = "'>f8'"});
  EXPECT_THAT(of_doubles, HasSubstr("save array.astype('<f8')"));
  EXPECT_THAT(of_doubles, ::testing::Not(HasSubstr("damaged")));
  EXPECT_THAT(refusal_of({.descr = "'|O'"}), HasSubstr("pickled"));
  EXPECT_THAT(refusal_of({.descr = "[('a', '<f4')]"}), HasSubstr("structured"));
  EXPECT_THAT(refusal_of({.descr = "('<f4', (2,))"}), HasSubstr("structured"));
  for (const char* descr : {"'<U6'", "'|S24'", "'|V4'", "'<M8'", "'<f16'", "'<c16'", "'f4'", "''", "'<'",
                            "'<f'", "'<f44'", "'\\x3cf4'", "'\xc3\xa9'"}) {
    refusal_of({.descr = descr});
  }
  EXPECT_THAT(refusal_of({.descr = "'|b1'", .shape = "(2,)", .data = "\1\2"}), HasSubstr("0 and 1"));
}

TEST_F(Npy, RefusesEveryOtherHeader) {
  const std::string good = NpyParts().dictionary(), data = NpyParts().data;
  ASSERT_TRUE(at::equal(array(npy_with_header(good, data)), six()));
  ASSERT_TRUE(at::equal(
      array(npy_with_header("{\"shape\":(2,3), 'descr':'<f4', 'fortran_order':False}", data)), six()));
  const auto expect_refused = [&](const std::string& header) {
    EXPECT_THROW(array(npy_with_header(header, data)), UserError) << header;
  };
  for (size_t count = 0; count < good.size(); ++count) expect_refused(good.substr(0, count));
  for (const char* tail : {"x", "{}", "#", "\f"}) expect_refused(good + tail);
  for (const char* shape : {"(2, 3", "2, 3", "[2, 3]", "(2 3)", "(2, 3,,)", "(,)", "(-2, -3)", "(2L, 3L)",
                            "(2.0, 3)", "(02, 3)", "(0x2, 3)", "(True, 6)", "((2, 3))", "(2, 3, None)"}) {
    expect_refused(NpyParts{.shape = shape}.dictionary());
  }
  for (const char* boolean : {"true", "0", "1", "None", "Falsey", "'False'"})
    expect_refused(NpyParts{.fortran_order = boolean}.dictionary());
  expect_refused("{'descr': '<f4', 'shape': (2, 3), }");
  expect_refused("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
  expect_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}");
  expect_refused("{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3)}");
}

TEST_F(Npy, ChecksTheSizeBeforeItAllocates) {
  EXPECT_THAT(refusal_of({.shape = "(6)"}), HasSubstr("not a shape"));
  EXPECT_THAT(refusal_of({.shape = "(2, 4)"}), HasSubstr("needs 32 bytes, 24 follow"));
  EXPECT_THAT(refusal_of({.shape = "(1000000000000,)"}), HasSubstr("24 follow"));
  EXPECT_THAT(refusal_of({.shape = "(9223372036854775807, 9223372036854775807)"}), HasSubstr("too large"));
  EXPECT_THAT(refusal_of({.shape = "(0, 9223372036854775807, 2)", .data = ""}), HasSubstr("too large"));
  EXPECT_THAT(refusal_of({.shape = "(9223372036854775808,)"}), HasSubstr("number too large"));
  std::string ones;
  for (int i = 0; i < 17; ++i) ones += "1, ";
  EXPECT_THAT(refusal_of({.shape = "(" + ones + ")", .data = floats({1})}), HasSubstr("16 dimensions"));
}

TEST_F(Npy, RefusesEveryCutAndEveryAddition) {
  for (const int version : {1, 3}) {
    const std::string bytes = npy_of({.version = version});
    for (size_t count = 0; count < bytes.size(); ++count)
      EXPECT_THROW(array(bytes.substr(0, count)), UserError) << count;
    EXPECT_THROW(array(bytes + "x"), UserError);
  }
}

TEST_F(Npy, RefusesOtherFiles) {
  EXPECT_THAT(refusal_of_bytes(zip_of({{"a.npy", npy_of({})}})), HasSubstr(".npz archive"));
  EXPECT_THAT(refusal_of_bytes("\x89PNG\r\n\x1a\nabcdef"), HasSubstr("not an array written by np.save"));
  const std::string long_header = NpyParts().dictionary() + std::string(20'000, ' ');
  EXPECT_THAT(refusal_of_bytes(npy_with_header(long_header, NpyParts().data)),
              HasSubstr("10000 are allowed"));
  EXPECT_THAT(refusal([&] { load_npy(folder_ / "absent.npy"); }), HasSubstr("absent.npy"));
}

TEST_F(Npy, WritesBytesPieceByPiece) {
  const auto path = folder_ / "images.npz";
  const std::string pixels = "abcdefghijklmnopqrstuvwx";
  save_npz_of_bytes(path, {2, 2, 2, 3}, [&](const TakeBytes& take) {
    for (size_t at = 0; at < pixels.size(); at += 5) take(std::string_view(pixels).substr(at, 5));
  });
  const auto arrays = load_npz(path);  // compares the checksum, which was written last
  ASSERT_EQ(arrays.size(), 1u);
  const at::Tensor& images = arrays.at("arr_0");
  EXPECT_EQ(images.scalar_type(), at::kByte);
  EXPECT_EQ(images.sizes().vec(), (std::vector<int64_t>{2, 2, 2, 3}));
  EXPECT_EQ(std::string(static_cast<const char*>(images.const_data_ptr()), images.nbytes()), pixels);
  EXPECT_TRUE(is_npz_of_bytes(path));
  EXPECT_FALSE(is_npz_of_bytes(write("numpy.npz", zip_of({{"arr_0.npy", npy_of({})}}))));
  EXPECT_FALSE(is_npz_of_bytes(write("cut.npz", read(path).substr(0, 60))));
  EXPECT_FALSE(is_npz_of_bytes(folder_ / "absent.npz"));
  EXPECT_THROW(save_npz_of_bytes(folder_ / "short.npz", {2}, [](const TakeBytes& take) { take("a"); }),
               InternalError);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "short.npz"));
}

}  // namespace
}  // namespace pixart::formats
