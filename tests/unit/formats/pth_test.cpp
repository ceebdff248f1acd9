#include "pth.h"

#include <ATen/ATen.h>

#include "pixart/formats/weights.h"
#include "pth_writer.h"

namespace pixart::formats {
namespace {

using ::testing::HasSubstr;

const std::string kSix = floats({0, 1, 2, 3, 4, 5});

class Pth : public Folder {
 protected:
  std::map<std::string, at::Tensor> tensors(const std::string& bytes) const {
    std::map<std::string, at::Tensor> result;
    for (auto& [name, tensor] : flatten_tensors(open_pth(write("w.pth", bytes)), "."))
      result.emplace(name, tensor.read());
    return result;
  }
  std::string refusal_of(const TensorOps& ops) const {
    return refusal([&] { tensors(pth_of(dict_pickle({{"w", ops.str()}}), {{"0", kSix}})); });
  }
};

std::string untyped_tensor(const std::string& dtype, int64_t bytes, int64_t numel) {
  const std::string storage = "(" + text_op("storage") + global_op("torch.storage", "UntypedStorage") +
                              text_op("0") + text_op("cuda:0") + integer_op(bytes) + "tQ";
  return global_op("torch._utils", "_rebuild_tensor_v3") + "(" + storage + integer_op(0) + tuple_op({numel}) +
         tuple_op({1}) + "\x89" + global_op("collections", "OrderedDict") + ")R" + global_op("torch", dtype) +
         "tR";
}

// Magic number, protocol, system, `pickle`, keys, storages.
std::string legacy_of(const std::string& pickle,
                      const std::vector<std::pair<std::string, std::string>>& storages, size_t element) {
  std::string out("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.", 21),
      keys = "\x80\x02](", data;
  out += dict_pickle({{"protocol_version", "M\xe9\x03"}, {"little_endian", "\x88"}}) + pickle;
  for (const auto& [key, bytes] : storages) {
    keys += text_op(key);
    data += little_endian(bytes.size() / element, 8) + bytes;
  }
  return out + keys + "e." + data;
}

TEST_F(Pth, TensorsShareTheirStorage) {
  const TensorOps whole, transposed{.sizes = {3, 2}, .strides = {1, 3}},
      second{.offset = 3, .sizes = {3}, .strides = {1}};
  const auto got = tensors(
      pth_of(dict_pickle({{"w", whole.str()}, {"t", transposed.str()}, {"s", second.str()}}), {{"0", kSix}}));
  const at::Tensor want = at::arange(6, at::kFloat).reshape({2, 3});
  EXPECT_TRUE(at::equal(got.at("w"), want));
  EXPECT_TRUE(at::equal(got.at("t"), want.t()));
  EXPECT_TRUE(at::equal(got.at("s"), want[1]));
  EXPECT_TRUE(got.at("s").is_alias_of(got.at("w")));
  EXPECT_EQ(got.at("w").storage().nbytes(), kSix.size());
}

TEST_F(Pth, LegacyStoragesStandInTheOrderOfTheKeys) {
  const TensorOps first{.key = "a", .numel = 2, .sizes = {2}, .strides = {1}},
      second{.key = "b", .numel = 1, .sizes = {}, .strides = {}};
  const std::string pickle = dict_pickle({{"first", first.str()}, {"second", second.str()}});
  const std::vector<std::pair<std::string, std::string>> storages = {{"b", floats({7})},
                                                                     {"a", floats({1, 2})}};
  const auto got = tensors(legacy_of(pickle, storages, 4));
  EXPECT_EQ(got.at("first")[1].item<float>(), 2);
  EXPECT_EQ(got.at("second").item<float>(), 7);
  EXPECT_THAT(refusal([&] { tensors(legacy_of(pickle, storages, 4) + "x"); }),
              HasSubstr("continues after the last storage"));
  EXPECT_THAT(refusal([&] { tensors(legacy_of(pickle, {storages[0]}, 4)); }), HasSubstr("missing"));
  EXPECT_THAT(refusal([&] {
                tensors(legacy_of(pickle, {storages[0], storages[1], storages[1]}, 4));
              }),
              HasSubstr("belongs to no tensor"));
  EXPECT_THAT(refusal([&] { tensors(legacy_of(pickle, storages, 2)); }), HasSubstr("its tensors need"));
}

TEST_F(Pth, NewerTypesComeFromUntypedStorages) {
  const std::string bytes("\x38\x40\x48\x50", 4);
  const auto f8 =
      tensors(pth_of(dict_pickle({{"w", untyped_tensor("float8_e4m3fn", 4, 4)}}), {{"0", bytes}})).at("w");
  EXPECT_TRUE(at::equal(f8.to(at::kFloat), at::tensor({1.f, 2.f, 4.f, 8.f})));
  const auto u16 =
      tensors(pth_of(dict_pickle({{"w", untyped_tensor("uint16", 4, 2)}}), {{"0", bytes}})).at("w");
  EXPECT_EQ(u16.scalar_type(), at::kUInt16);
  EXPECT_THROW(tensors(pth_of(dict_pickle({{"w", untyped_tensor("uint16", 4, 3)}}), {{"0", bytes}})),
               UserError);
  EXPECT_THROW(tensors(pth_of(dict_pickle({{"w", untyped_tensor("Size", 4, 2)}}), {{"0", bytes}})),
               UserError);
}

TEST_F(Pth, RefusesViewsThatReachOutside) {
  EXPECT_THAT(refusal_of({.sizes = {3, 3}}), HasSubstr("beyond its storage"));
  EXPECT_THAT(refusal_of({.offset = 1}), HasSubstr("beyond its storage"));
  EXPECT_THAT(refusal_of({.offset = -1}), HasSubstr("offset"));
  EXPECT_THAT(refusal_of({.sizes = {-2, 3}}), HasSubstr("size"));
  EXPECT_THAT(refusal_of({.strides = {-3, 1}}), HasSubstr("stride"));
  EXPECT_THAT(refusal_of({.strides = {1}}), HasSubstr("differ in number"));
  EXPECT_THAT(refusal_of({.sizes = {int64_t{1} << 40}, .strides = {0}}), HasSubstr("repeats"));
  EXPECT_THAT(refusal_of({.sizes = {int64_t{1} << 32, int64_t{1} << 32}, .strides = {0, 0}}),
              HasSubstr("overflows"));
  EXPECT_THAT(refusal_of({.sizes = {0, int64_t{1} << 62, 4}, .strides = {1, 1, 1}}), HasSubstr("overflows"));
  EXPECT_THAT(refusal_of({.strides = {INT64_MAX, 1}}), HasSubstr("overflows"));
  EXPECT_THAT(refusal_of({.numel = 5, .sizes = {1}, .strides = {1}}), HasSubstr("24 bytes"));
  EXPECT_THAT(refusal_of({.numel = int64_t{1} << 60, .sizes = {1}, .strides = {1}}),
              HasSubstr("larger than the file"));
  EXPECT_THAT(refusal_of({.key = "1"}), HasSubstr("is missing"));
  EXPECT_THAT(refusal_of({.type = "FooStorage"}), HasSubstr("torch.FooStorage"));
}

// One number each, which many tensors repeat: 84 KB would become gigabytes.
TEST_F(Pth, RepeatedStoragesAreLimitedTogether) {
  const auto file_with = [&](int count) {
    std::vector<std::pair<std::string, std::string>> items;
    for (int i = 0; i < count; ++i)
      items.emplace_back("w" + std::to_string(i),
                         TensorOps{.numel = 1, .sizes = {4 << 20}, .strides = {0}}.str());
    return pth_of(dict_pickle(items), {{"0", floats({1})}});
  };
  EXPECT_EQ(open_weights(write("w.pth", file_with(4))).tensors.size(), 4u);
  EXPECT_THAT(refusal([&] { open_pth(write("w.pth", file_with(5))); }), HasSubstr("repeats its storage"));
}

// torch.serialization.set_crc32_options(False) writes 0 for every checksum.
TEST_F(Pth, WithoutChecksumsTheFileIsReadWithAWarning) {
  std::vector<ZipPart> parts = {{"a/data.pkl", dict_pickle({{"w", TensorOps{}.str()}})}, {"a/data/0", kSix}};
  for (auto& part : parts)
    part.crc_error =
        -uint32_t(crc32(0, reinterpret_cast<const Bytef*>(part.data.data()), uInt(part.data.size())));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(tensors(zip_of(parts)).at("w")[1][2].item<float>(), 5);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("without checksums"));
  parts[0].crc_error = 0;  // now the zeros of the others are wrong checksums
  EXPECT_THAT(refusal([&] { tensors(zip_of(parts)); }), HasSubstr("CRC-32"));
}

TEST_F(Pth, TensorsWithAttributesAreTensors) {
  const std::string arguments = TensorOps{}.str();
  const size_t begin = arguments.find("(("), end = arguments.rfind('R');
  const std::string ops = global_op("torch._tensor", "_rebuild_from_type_v2") + "(" +
                          global_op("torch._utils", "_rebuild_tensor_v2") +
                          global_op("torch.nn.parameter", "Parameter") +
                          arguments.substr(begin, end - begin) + "}tR";
  EXPECT_EQ(tensors(pth_of(dict_pickle({{"w", ops}}), {{"0", kSix}})).at("w")[1][0].item<float>(), 3);
}

// torch._neg_view(): the storage holds 0 to 5, the tensor 0 to -5.
TEST_F(Pth, AFlagThatChangesTheValuesIsRefused) {
  const auto file_with = [&](const std::string& flags) {
    const std::string ops = TensorOps{}.str();
    return pth_of(dict_pickle({{"w", ops.substr(0, ops.size() - 2) + flags + "tR"}}), {{"0", kSix}});
  };
  EXPECT_EQ(tensors(file_with("}")).at("w")[1][2].item<float>(), 5);
  EXPECT_EQ(tensors(file_with("}" + text_op("neg") + "\x89s")).at("w")[1][2].item<float>(), 5);
  for (const char* flag : {"neg", "conj"})
    EXPECT_THAT(refusal([&] { tensors(file_with("}" + text_op(flag) + "\x88s")); }),
                ::testing::AllOf(HasSubstr(flag), HasSubstr("resolve_neg")));
}

TEST_F(Pth, OtherFilesAreNamedAsWhatTheyAre) {
  const std::pair<const char*, const char*> files[] = {
      {"<!DOCTYPE html><html>", "an HTML page"},
      {"Entry not found", "text: 'Entry not found'"},
      {R"({"error": "gated"})", R"(JSON: '{"error": "gated"}')"},
      {"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
      {"\x1f\x8b\x08", "a gzip archive"}};
  for (const auto& [bytes, what] : files)
    EXPECT_THAT(refusal([&] { open_pth(write("w.pth", bytes)); }), HasSubstr(what)) << bytes;
}

// torch.save writes this for tensor[1:] of an empty tensor.
TEST_F(Pth, EmptyTensorsMayBeginBeyondTheirStorage) {
  const TensorOps ops{.numel = 0, .offset = 7, .sizes = {2, 0}, .strides = {7, 1}};
  const auto got = tensors(pth_of(dict_pickle({{"w", ops.str()}}), {{"0", ""}})).at("w");
  EXPECT_EQ(got.sizes(), at::IntArrayRef({2, 0}));
}

TEST_F(Pth, RefusesOneStorageOfTwoTypes) {
  const TensorOps floats_of{}, integers_of{.type = "IntStorage"};
  EXPECT_THAT(
      refusal([&] {
        tensors(pth_of(dict_pickle({{"a", floats_of.str()}, {"b", integers_of.str()}}), {{"0", kSix}}));
      }),
      HasSubstr("two ways"));
}

TEST_F(Pth, RefusesBoolsThatAreNeitherTrueNorFalse) {
  const TensorOps ops{.type = "BoolStorage", .numel = 2, .sizes = {2}, .strides = {1}};
  EXPECT_THAT(refusal([&] {
                tensors(pth_of(dict_pickle({{"b", ops.str()}}), {{"0", "\1\2"}}));
              }),
              HasSubstr("bools"));
}

TEST_F(Pth, RefusesOtherArchives) {
  const std::string pickle = dict_pickle({{"w", TensorOps{}.str()}});
  const auto with = [&](const std::string& name, const std::string& data) {
    return zip_of({{"a/data.pkl", pickle}, {"a/data/0", kSix}, {"a/" + name, data}});
  };
  EXPECT_NO_THROW(tensors(with(".data/serialization_id", "1")));
  EXPECT_THAT(refusal([&] { tensors(with("constants.pkl", "x")); }), HasSubstr("TorchScript"));
  EXPECT_THAT(refusal([&] { tensors(with("other.pkl", "x")); }), HasSubstr("other.pkl"));
  EXPECT_THAT(refusal([&] { tensors(with("byteorder", "big")); }), HasSubstr("big-endian"));
  EXPECT_THAT(refusal([&] { tensors(zip_of({{"a/data/0", kSix}})); }), HasSubstr("data.pkl"));
  EXPECT_THAT(refusal([&] {
                tensors(zip_of({{"a/data.pkl", pickle + "x"}, {"a/data/0", kSix}}));
              }),
              HasSubstr("after the end"));
  EXPECT_THAT(refusal([&] { tensors(""); }), HasSubstr("empty"));
  EXPECT_THAT(refusal([&] { tensors("hello"); }), HasSubstr("torch.save"));
}

TEST_F(Pth, FlattenJoinsKeysAndPositions) {
  const std::string inner =
      "}(" + text_op("x.y") + TensorOps{}.str() + "K\x07](" + TensorOps{}.str() + "N" + "eu";
  const auto got = tensors(pth_of(dict_pickle({{"a", inner}, {"n", "K\x01"}}), {{"0", kSix}}));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got.count("a.x.y"));
  EXPECT_TRUE(got.count("a.7.0"));
}

}  // namespace
}  // namespace pixart::formats
