#include <ATen/ATen.h>

#include "pixart/formats/tensor_file.h"
#include "pth_writer.h"

namespace pixart::formats {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Weights : public Folder {
 protected:
  fs::path save(const std::string& name, const std::vector<std::string>& tensors, float value = 1) const {
    std::vector<NamedTensor> named;
    for (const auto& tensor : tensors) named.push_back({tensor, at::full({2}, value)});
    save_safetensors(folder_ / name, named);
    return folder_ / name;
  }
  std::string refusal_of(const fs::path& path, const std::string& wrapper = "state_dict") const {
    return refusal([&] { load_weights(path, wrapper); });
  }
};

std::vector<std::string> names(const TensorFile& file) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : file.tensors) result.push_back(name);
  return result;
}

std::string vector_ops(const std::string& key) {
  return TensorOps{.key = key, .numel = 2, .sizes = {2}, .strides = {1}}.str();
}

std::string dict_ops(const std::string& name, const std::string& key) {
  return "}" + text_op(name) + vector_ops(key) + "s";
}

TEST_F(Weights, SafetensorsUnderAnyName) {
  EXPECT_THAT(names(load_weights(save("w.safetensors", {"a", "b"}))), ElementsAre("a", "b"));
  EXPECT_THAT(names(load_weights(save("weights", {"a"}))), ElementsAre("a"));
}

TEST_F(Weights, WrapperOfATrainingCheckpoint) {
  const std::string pickle = dict_pickle(
      {{"state_dict", dict_ops("w", "0")}, {"state_dict_ema", dict_ops("w", "1")}, {"epoch", "K\x03"}});
  const auto path = write("c.pth", pth_of(pickle, {{"0", floats({1, 2})}, {"1", floats({3, 4})}}));
  EXPECT_EQ(load_weights(path).tensors.at("w")[0].item<float>(), 1);
  EXPECT_EQ(load_weights(path, "state_dict_ema").tensors.at("w")[0].item<float>(), 3);
  EXPECT_THAT(refusal_of(path, "model"),
              AllOf(HasSubstr("'model'"), HasSubstr("state_dict, state_dict_ema")));
}

// Half of a training checkpoint is optimizer state that nobody asked for: damage there does not matter.
TEST_F(Weights, OnlyTheWrapperIsRead) {
  const std::string pickle = dict_pickle({{"model", dict_ops("w", "0")}, {"opt", dict_ops("m", "1")}});
  const auto path = write("c.pth", zip_of({{"a/data.pkl", pickle},
                                           {"a/data/0", floats({1, 2})},
                                           {.name = "a/data/1", .data = floats({3, 4}), .crc_error = 1}}));
  EXPECT_THAT(names(load_weights(path, "model")), ElementsAre("w"));
  EXPECT_THAT(refusal_of(path, "opt"), HasSubstr("CRC-32"));
}

TEST_F(Weights, BareAndNestedDictionaries) {
  const auto bare =
      write("b.pth", pth_of(dict_pickle({{"x.weight", vector_ops("0")}}), {{"0", floats({1, 2})}}));
  EXPECT_THAT(names(load_weights(bare)), ElementsAre("x.weight"));
  const auto nested =
      write("n.bin", pth_of(dict_pickle({{"x", dict_ops("weight", "0")}}), {{"0", floats({1, 2})}}));
  EXPECT_THAT(names(load_weights(nested)), ElementsAre("x.weight"));
  const auto twice = write("t.bin", pth_of(dict_pickle({{"x", dict_ops("w", "0")}, {"x.w", vector_ops("0")}}),
                                           {{"0", floats({1, 2})}}));
  EXPECT_THAT(refusal_of(twice), HasSubstr("'x.w'"));
  EXPECT_THAT(refusal_of(write("e.bin", pth_of(dict_pickle({{"x", "K\x01"}}), {}))), HasSubstr("no tensors"));
}

TEST_F(Weights, ShardsOfBothKinds) {
  save("m-1.safetensors", {"a"}, 1);
  write("m-2.bin", pth_of(dict_pickle({{"b", vector_ops("0")}}), {{"0", floats({2, 3})}}));
  const auto index =
      write("model.safetensors.index.json",
            R"({"metadata":{"total_size":16},"weight_map":{"a":"m-1.safetensors","b":"m-2.bin"}})");
  EXPECT_THAT(names(load_weights(index)), ElementsAre("a", "b"));
  EXPECT_THAT(names(load_weights(folder_)), ElementsAre("a", "b"));
  EXPECT_EQ(load_weights(index).tensors.at("b")[1].item<float>(), 3);
}

TEST_F(Weights, IndexProblemsAreListedTogether) {
  save("s", {"a", "extra"});
  EXPECT_THAT(refusal_of(write("i.json", R"({"weight_map":{"a":"s","b":"s"}})")),
              AllOf(HasSubstr("2 problems"), HasSubstr("'b'"), HasSubstr("'extra'")));
  EXPECT_THAT(refusal_of(write("i.json", R"({"weight_map":{"a":"gone-1","b":"gone-2"}})")),
              AllOf(HasSubstr("gone-1"), HasSubstr("gone-2")));
  EXPECT_THAT(refusal_of(write("i.json", R"({"weight_map":{"a":"s","a":"s"}})")),
              HasSubstr("'a' stands twice"));
  for (const char* bad : {"../s", "/s", "sub/s", "..", ".", "", "a\\\\s", "s\\u0000"}) {
    EXPECT_THAT(refusal_of(write("i.json", fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", bad))),
                HasSubstr("plain file name"))
        << bad;
  }
  for (const char* bad : {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", "{"}) {
    EXPECT_THAT(refusal_of(write("i.json", bad)), HasSubstr("no index")) << bad;
  }
}

TEST_F(Weights, FoldersPreferSafetensors) {
  write("pytorch_model.bin", "broken");
  save("diffusion_pytorch_model.safetensors", {"a"});
  EXPECT_THAT(names(load_weights(folder_)), ElementsAre("a"));
  fs::remove(folder_ / "diffusion_pytorch_model.safetensors");
  EXPECT_THAT(refusal_of(folder_), HasSubstr("pytorch_model.bin"));
  fs::remove(folder_ / "pytorch_model.bin");
  EXPECT_THAT(refusal_of(folder_), HasSubstr("usual name"));
  EXPECT_THAT(refusal_of(folder_ / "absent"), HasSubstr("does not exist"));
}

}  // namespace
}  // namespace pixart::formats
