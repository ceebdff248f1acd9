#include "pixart/formats/tensor_file.h"

#include <ATen/ATen.h>

#include "folder.h"
#include "pixart/formats/safetensors.h"

namespace pixart::formats {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using TensorFiles = Folder;
namespace fs = std::filesystem;

TEST_F(TensorFiles, EveryTypeComesBackBitForBit) {
  std::vector<NamedTensor> tensors;
  const at::Tensor base = at::arange(-6, 6, at::kFloat).reshape({3, 4});
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                          at::kChar, at::kByte, at::kBool, at::kFloat8_e4m3fn, at::kFloat8_e5m2, at::kUInt16,
                          at::kUInt32, at::kUInt64, at::kComplexFloat}) {
    tensors.push_back({c10::toString(type), base.abs().to(type)});
  }
  const fs::path path = folder_ / "all.safetensors";
  save_safetensors(path, tensors, {{"step", "7"}});
  const TensorFile file = load_safetensors(path);
  EXPECT_THAT(file.metadata, ElementsAre(std::pair("format", "pt"), std::pair("step", "7")));
  ASSERT_EQ(file.tensors.size(), tensors.size());
  for (const auto& [name, want] : tensors) {
    const at::Tensor& got = file.tensors.at(name);
    ASSERT_EQ(got.scalar_type(), want.scalar_type()) << name;
    EXPECT_TRUE(at::equal(got.view(at::kByte), want.contiguous().view(at::kByte))) << name;
  }
}

TEST_F(TensorFiles, ViewsAreMadeContiguousAndOddShapesKept) {
  const at::Tensor base = at::rand({4, 6});
  const fs::path path = folder_ / "views.safetensors";
  save_safetensors(path, {{"t", base.t()},
                          {"s", base.slice(0, 0, 4, 2)},
                          {"scalar", at::scalar_tensor(2.5)},
                          {"none", at::empty({0, 3})},
                          {"expanded", base.slice(0, 0, 1).expand({5, 6})}});
  const auto tensors = load_safetensors(path).tensors;
  EXPECT_TRUE(at::equal(tensors.at("t"), base.t()));
  EXPECT_TRUE(at::equal(tensors.at("s"), base.slice(0, 0, 4, 2)));
  EXPECT_EQ(tensors.at("scalar").dim(), 0);
  EXPECT_THAT(tensors.at("none").sizes().vec(), ElementsAre(0, 3));
  EXPECT_TRUE(at::equal(tensors.at("expanded"), base.slice(0, 0, 1).expand({5, 6})));
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(tensor.is_contiguous()) << name;
}

// The bytes that safetensors 0.8.0 writes for the same tensors
// (tests/golden/safetensors/good_written_by_library).
TEST_F(TensorFiles, WritesTheBytesOfTheReferenceLibrary) {
  const fs::path golden =
      fs::path(PIXART_SOURCE_DIR) / "tests/golden/safetensors/good_written_by_library/file.safetensors";
  const TensorFile file = load_safetensors(golden);
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : file.tensors) tensors.push_back({name, tensor});
  save_safetensors(folder_ / "again.safetensors", tensors, file.metadata);
  EXPECT_EQ(read(folder_ / "again.safetensors"), read(golden));
}

TEST_F(TensorFiles, StreamsWhatItWrites) {
  const std::vector<NamedTensor> tensors = {
      {"b", at::arange(6, at::kFloat).view({2, 3}).t()}, {"a", at::ones(2)}, {"i", at::arange(3)}};
  save_safetensors(folder_ / "s", tensors, {{"key", "value"}});
  std::string bytes;
  std::vector<std::string> names;
  stream_safetensors(weights_of(tensors, {{"key", "value"}}),
                     [&](const std::string& name, std::string_view piece) {
                       names.push_back(name);
                       bytes += piece;
                     });
  EXPECT_EQ(names, (std::vector<std::string>{"", "i", "a", "b"}));
  EXPECT_EQ(bytes, read(folder_ / "s"));
}

TEST_F(TensorFiles, OrderIsByTypeThenName) {
  const at::Tensor one = at::ones({1});
  save_safetensors(folder_ / "o", {{"b", one},
                                   {"a", one},
                                   {"half", one.to(at::kHalf)},
                                   {"f64", one.to(at::kDouble)},
                                   {"i64", one.to(at::kLong)}});
  const auto header = read_safetensors_header(folder_ / "o");
  EXPECT_EQ(header.data_offset % 8, 0u);
  EXPECT_EQ(header.tensors.at("i64").begin, 0u);
  EXPECT_EQ(header.tensors.at("f64").begin, 8u);
  EXPECT_EQ(header.tensors.at("a").begin, 16u);
  EXPECT_EQ(header.tensors.at("b").begin, 20u);
  EXPECT_EQ(header.tensors.at("half").begin, 24u);
}

TEST_F(TensorFiles, RefusesToWriteWhatNobodyShouldRead) {
  const at::Tensor one = at::ones({1});
  EXPECT_THROW(save_safetensors(folder_ / "x", {{"__metadata__", one}}), InternalError);
  EXPECT_THROW(save_safetensors(folder_ / "x", {{"a", one}, {"a", one}}), InternalError);
  EXPECT_THROW(save_safetensors(folder_ / "x", {{"a\n", one}}), UserError);
  EXPECT_THAT(refusal([&] {
                save_safetensors(folder_ / "x", {{"w", one.to(at::kComplexDouble)}});
              }),
              HasSubstr("'w'"));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(TensorFiles, RefusesBoolsThatAreNeitherTrueNorFalse) {
  const std::string json = R"({"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
  const std::string head = little_endian(json.size(), 8) + json;
  EXPECT_THAT(refusal([&] { load_safetensors(write("b", head + std::string("\1\2", 2))); }),
              HasSubstr("'w'"));
  EXPECT_NO_THROW(load_safetensors(write("b", head + std::string("\1\0", 2))));
}

}  // namespace
}  // namespace pixart::formats
