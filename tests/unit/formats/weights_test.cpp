#include <ATen/ATen.h>

#include "pixart/formats/tensor_file.h"
#include "pixart/formats/weights.h"
#include "pth_writer.h"

namespace pixart::formats {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class WeightFiles : public Folder {
 protected:
  fs::path save(const std::string& name, const std::vector<std::string>& tensors, float value = 1) const {
    std::vector<NamedTensor> named;
    for (const auto& tensor : tensors) named.push_back({tensor, at::full({2}, value)});
    save_safetensors(folder_ / name, named);
    return folder_ / name;
  }
  std::string refusal_of(const fs::path& path, const std::string& which = "model") const {
    return refusal([&] { load_weights(path, which); });
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

TEST_F(WeightFiles, SafetensorsUnderAnyName) {
  EXPECT_THAT(names(load_weights(save("w.safetensors", {"a", "b"}))), ElementsAre("a", "b"));
  EXPECT_THAT(names(load_weights(save("weights", {"a"}))), ElementsAre("a"));
}

TEST_F(WeightFiles, SetsOfATrainingCheckpoint) {
  const std::string pickle = dict_pickle(
      {{"state_dict", dict_ops("w", "0")}, {"state_dict_ema", dict_ops("w", "1")}, {"epoch", "K\x03"}});
  const auto path = write("c.pth", pth_of(pickle, {{"0", floats({1, 2})}, {"1", floats({3, 4})}}));
  EXPECT_EQ(load_weights(path).tensors.at("w")[0].item<float>(), 1);
  EXPECT_EQ(load_weights(path, "ema").tensors.at("w")[0].item<float>(), 3);
  EXPECT_EQ(load_weights(path, "state_dict_ema").tensors.at("w")[0].item<float>(), 3);
  EXPECT_THAT(open_weights(path).other_sets, ElementsAre("state_dict_ema"));
  EXPECT_THAT(refusal_of(path, "best"), AllOf(HasSubstr("'best'"), HasSubstr("state_dict, state_dict_ema")));
}

TEST_F(WeightFiles, NoSetIsChosenByGuess) {
  const auto only_average =
      write("e.pth", pth_of(dict_pickle({{"ema", dict_ops("w", "0")}}), {{"0", floats({1, 2})}}));
  EXPECT_THAT(refusal_of(only_average), HasSubstr("but has: ema"));
  const auto two =
      write("t.pth", pth_of(dict_pickle({{"model", dict_ops("w", "0")}, {"state_dict", dict_ops("w", "0")}}),
                            {{"0", floats({1, 2})}}));
  EXPECT_THAT(refusal_of(two), HasSubstr("model, state_dict"));
  EXPECT_THAT(refusal_of(save("w.safetensors", {"a"}), "ema"), HasSubstr("only one set of weights"));
}

TEST_F(WeightFiles, SetsInsideEachOther) {
  const auto entry = [](const std::string& key, const std::string& value) {
    return "}" + text_op(key) + value + "s";
  };
  const auto file = [&](const std::string& pickle) {
    return write("n.pth", pth_of(pickle, {{"0", floats({1, 2})}, {"1", floats({3, 4})}}));
  };
  auto path = file(dict_pickle({{"model", entry("module", dict_ops("w", "0"))},
                                {"ema", entry("module", dict_ops("w", "1"))},
                                {"step", "K\x03"}}));
  EXPECT_EQ(load_weights(path).tensors.at("w")[0].item<float>(), 1);
  EXPECT_EQ(load_weights(path, "ema").tensors.at("w")[0].item<float>(), 3);
  EXPECT_THAT(open_weights(path, "ema").notes, ElementsAre(HasSubstr("'ema.module'")));
  path = file(dict_pickle({{"state_dict", "}(" + text_op("net") + dict_ops("w", "0") + text_op("net_ema") +
                                              dict_ops("w", "1") + "u"}}));
  EXPECT_EQ(load_weights(path).tensors.at("w")[0].item<float>(), 1);
  EXPECT_EQ(load_weights(path, "ema").tensors.at("w")[0].item<float>(), 3);
}

TEST_F(WeightFiles, FlatNamesMayHoldAnEma) {
  const auto path = save("f.safetensors", {"model.a", "model.b", "ema.a"});
  EXPECT_THAT(names(load_weights(path, "ema")), ElementsAre("a"));
  EXPECT_THAT(open_weights(path, "ema").other_sets, ElementsAre("model"));
  EXPECT_THAT(names(load_weights(path)), ElementsAre("ema.a", "model.a", "model.b"));
}

TEST_F(WeightFiles, WhatIsBesideTheWeightsIsNamed) {
  const std::string object = global_op("pathlib", "PosixPath") + text_op("x") + "\x85R";
  const auto path = write("s.pth", pth_of(dict_pickle({{"model", dict_ops("w", "0")}, {"where", object}}),
                                          {{"0", floats({1, 2})}}));
  EXPECT_EQ(load_weights(path).tensors.at("w")[1].item<float>(), 2);
  EXPECT_THAT(open_weights(path).notes, ElementsAre(HasSubstr("pathlib.PosixPath")));
  const auto only =
      write("o.pth", pth_of(dict_pickle({{"model", global_op("my.code", "Net") + ")\x81"}}), {}));
  EXPECT_THAT(refusal_of(only), AllOf(HasSubstr("my.code.Net"), HasSubstr("state_dict()")));
}

TEST_F(WeightFiles, VariantsOfAFolder) {
  const auto one = [&](const std::string& name) {
    save(name, {"w"});
    const Weights weights = open_weights(folder_);
    EXPECT_EQ(weights.files.at(0).filename(), name);
    EXPECT_EQ(weights.notes.size(), name.find('.') == name.rfind('.') ? 0u : 1u) << name;
  };
  for (const char* name :
       {"diffusion_pytorch_model.ema.safetensors", "diffusion_pytorch_model.non_ema.safetensors",
        "model.fp16.safetensors", "model.bf16.safetensors", "model.safetensors"})
    one(name);  // each is preferred to those before it
  EXPECT_EQ(open_weights(folder_, "ema").files.at(0).filename(), "diffusion_pytorch_model.ema.safetensors");
  for (const char* name : {"model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json",
                           "diffusion_pytorch_model.safetensors.index.bf16.json"}) {
    for (const auto& entry : fs::directory_iterator(folder_)) fs::remove_all(entry);
    save("model.fp16-00001-of-00001.safetensors", {"w"});
    write(name, R"({"weight_map": {"w": "model.fp16-00001-of-00001.safetensors"}})");
    EXPECT_THAT(names(load_weights(folder_)), ElementsAre("w")) << name;
  }
  for (const auto& entry : fs::directory_iterator(folder_)) fs::remove_all(entry);
  write("pytorch_model.fp16.bin", pth_of(dict_pickle({{"w", vector_ops("0")}}), {{"0", floats({1, 2})}}));
  EXPECT_THAT(open_weights(folder_).notes, ElementsAre(HasSubstr("variant fp16")));
}

// Half of a training checkpoint is optimizer state that nobody asked for: damage there does not matter.
TEST_F(WeightFiles, OnlyTheWrapperIsRead) {
  const std::string pickle = dict_pickle({{"model", dict_ops("w", "0")}, {"opt", dict_ops("m", "1")}});
  const auto path = write("c.pth", zip_of({{"a/data.pkl", pickle},
                                           {"a/data/0", floats({1, 2})},
                                           {.name = "a/data/1", .data = floats({3, 4}), .crc_error = 1}}));
  EXPECT_THAT(names(load_weights(path, "model")), ElementsAre("w"));
  EXPECT_THAT(refusal_of(path, "opt"), HasSubstr("CRC-32"));
}

TEST_F(WeightFiles, BareAndNestedDictionaries) {
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

TEST_F(WeightFiles, ShardsOfBothKinds) {
  save("m-1.safetensors", {"a"}, 1);
  write("m-2.bin", pth_of(dict_pickle({{"b", vector_ops("0")}}), {{"0", floats({2, 3})}}));
  const auto index =
      write("model.safetensors.index.json",
            R"({"metadata":{"total_size":16},"weight_map":{"a":"m-1.safetensors","b":"m-2.bin"}})");
  EXPECT_THAT(names(load_weights(index)), ElementsAre("a", "b"));
  EXPECT_THAT(names(load_weights(folder_)), ElementsAre("a", "b"));
  EXPECT_EQ(load_weights(index).tensors.at("b")[1].item<float>(), 3);
}

TEST_F(WeightFiles, IndexProblemsAreListedTogether) {
  save("s", {"a", "extra"});
  EXPECT_THAT(refusal_of(write("i.json", R"({"weight_map":{"a":"s","b":"s"}})")),
              AllOf(HasSubstr("2 problems"), HasSubstr("'b'"), HasSubstr("'extra'")));
  EXPECT_THAT(refusal_of(write("i.json", R"({"weight_map":{"a":"gone-1","b":"gone-2"}})")),
              AllOf(HasSubstr("gone-1"), HasSubstr("gone-2")));
  EXPECT_THAT(refusal_of(write("i.json", R"({"weight_map":{"a":"s","a":"s"}})")),
              HasSubstr("'a' occurs twice"));
  for (const char* bad : {"../s", "/s", "sub/s", "..", ".", "", "a\\\\s", "s\\u0000"}) {
    EXPECT_THAT(refusal_of(write("i.json", fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", bad))),
                HasSubstr("plain file name"))
        << bad;
  }
  for (const char* bad : {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", "{"}) {
    EXPECT_THAT(refusal_of(write("i.json", bad)), HasSubstr("not an index of weight shards")) << bad;
  }
}

TEST_F(WeightFiles, FoldersPreferSafetensors) {
  write("pytorch_model.bin", "broken");
  save("diffusion_pytorch_model.safetensors", {"a"});
  EXPECT_THAT(names(load_weights(folder_)), ElementsAre("a"));
  fs::remove(folder_ / "diffusion_pytorch_model.safetensors");
  EXPECT_THAT(refusal_of(folder_), HasSubstr("pytorch_model.bin"));
  fs::remove(folder_ / "pytorch_model.bin");
  EXPECT_THAT(refusal_of(folder_), AllOf(HasSubstr("usual name"), Not(HasSubstr("--ema-length"))));
  fs::create_directories(folder_ / "power_ema/text");
  EXPECT_THAT(refusal_of(folder_ / "power_ema/text"), HasSubstr("--ema-length"));
  EXPECT_THAT(refusal_of(folder_ / "absent"), HasSubstr("does not exist"));
}

TEST_F(WeightFiles, NothingIsReadBeforeItIsAskedFor) {
  const std::string pickle = dict_pickle({{"a", vector_ops("0")}, {"b", vector_ops("1")}});
  const auto path = write("w.pth", zip_of({{"a/data.pkl", pickle},
                                           {"a/data/0", floats({1, 2})},
                                           {.name = "a/data/1", .data = floats({3, 4}), .crc_error = 1}}));
  const Weights weights = open_weights(path);
  EXPECT_EQ(weights.read("a")[1].item<float>(), 2);
  EXPECT_THAT(refusal([&] { weights.read("b"); }), HasSubstr("CRC-32"));
}

// Every type that we know, an empty tensor and a number, through each writer and back, bit for bit.
TEST_F(WeightFiles, WritersKeepEveryBit) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto type : {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kHalf,
                          at::kBFloat16, at::kFloat, at::kDouble, at::kUInt16, at::kFloat8_e4m3fn,
                          at::kFloat8_e5m2, at::kFloat8_e8m0fnu, at::kComplexFloat})
    tensors[std::string("t.") + c10::toString(type)] =
        at::arange(6).reshape({2, 3}).gt(2).to(at::kByte).to(type);
  tensors["empty"] = at::empty({0, 3});
  tensors["number"] = at::scalar_tensor(3.5, at::kFloat);
  Weights weights{.metadata = {{"made", "in a \"test\""}, {"hash", "0000"}}};
  for (const auto& [name, tensor] : tensors)
    weights.tensors.emplace(name, WeightInfo{tensor.scalar_type(), tensor.sizes().vec()});
  weights.read = [&](const std::string& name) { return tensors.at(name); };
  const auto complete = [](Metadata& metadata) { metadata["hash"] = "1234"; };

  write_safetensors(folder_ / "w.safetensors", weights, complete);
  write_pth(folder_ / "w.pth", weights, complete);
  write_safetensors_shards(folder_ / "shards", "model", weights, 30, complete);
  EXPECT_TRUE(fs::exists(folder_ / "shards/model.safetensors.index.json"));
  for (const char* file : {"w.safetensors", "w.pth", "shards"}) {
    const Weights again = open_weights(folder_ / file);
    EXPECT_EQ(again.metadata.at("made"), "in a \"test\"") << file;
    EXPECT_EQ(again.metadata.at("hash"), "1234") << file;
    ASSERT_EQ(again.tensors.size(), tensors.size()) << file;
    for (const auto& [name, tensor] : tensors) {
      const at::Tensor got = again.read(name);
      EXPECT_EQ(got.sizes(), tensor.sizes()) << file << " " << name;
      ASSERT_EQ(got.scalar_type(), tensor.scalar_type()) << file << " " << name;
      if (tensor.nbytes() == 0) continue;  // an empty tensor's pointer may be null
      EXPECT_EQ(std::memcmp(got.const_data_ptr(), tensor.const_data_ptr(), tensor.nbytes()), 0)
          << file << " " << name;
    }
  }
}

}  // namespace
}  // namespace pixart::formats
