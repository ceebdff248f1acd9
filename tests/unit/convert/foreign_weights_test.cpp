// Weights as other programs wrap them.
#include "model_files.h"
#include "pixart/convert/convert.h"
#include "pixart/convert/tensor_map.h"

namespace pixart::convert {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Tensors = std::map<std::string, at::Tensor>;

class Wrapped : public ModelFiles {
 protected:
  fs::path write(const std::string& name, const Tensors& tensors) const {
    std::vector<formats::NamedTensor> list;
    for (const auto& [key, tensor] : tensors) list.push_back({key, tensor});
    formats::save_safetensors(folder_ / name, list);
    return folder_ / name;
  }
  Tensors dit() const {
    return formats::load_safetensors(save<models::Dit>("d.safetensors", small_dit())).tensors;
  }
  static Tensors renamed(const Tensors& tensors, const std::string& prefix) {
    Tensors result;
    for (const auto& [name, tensor] : tensors) result.emplace(prefix + name, tensor);
    return result;
  }
  static void expect_equal(const fs::path& file, const Tensors& wanted, const std::string& which = "model") {
    const auto official = to_official(open_and_identify(file, which));
    ASSERT_EQ(official.weights.tensors.size(), wanted.size()) << file;
    for (const auto& [name, tensor] : wanted)
      EXPECT_TRUE(at::equal(official.weights.read(name), tensor)) << name;
  }
};

TEST_F(Wrapped, PrefixesOfAllNamesAreRemovedAndSaid) {
  const Tensors plain = dit();
  for (const std::string prefix : {"module.", "_orig_mod.", "model.", "model.diffusion_model.", "net.",
                                   "module._orig_mod.", "my.own.wrapper."}) {
    const auto file = write("w.safetensors", renamed(plain, prefix));
    expect_equal(file, plain);
    EXPECT_THAT(to_official(open_and_identify(file)).notes, Contains(HasSubstr("names"))) << prefix;
  }
  EXPECT_THAT(open_and_identify(write("w.safetensors", plain)).weights.notes, IsEmpty());
}

TEST_F(Wrapped, WrappedLayersInsideAreFound) {
  const Tensors plain = dit();
  for (const std::string prefix : {"", "_fsdp_wrapped_module."}) {
    Tensors wrapped;
    for (const auto& [name, tensor] : plain) {
      std::string longer = name;
      if (name.starts_with("blocks.1.")) longer.insert(9, "_checkpoint_wrapped_module._orig_mod.");
      wrapped.emplace(prefix + longer, tensor);
    }
    expect_equal(write("w.safetensors", wrapped), plain);
  }
}

TEST_F(Wrapped, OtherModelsOfTheFileAreLeftOutAndCounted) {
  const Tensors plain = dit();
  auto tensors = renamed(plain, "model.diffusion_model.");
  tensors["first_stage_model.encoder.down.0.block.0.conv1.weight"] = at::zeros({2, 2});
  tensors["model_ema.num_updates"] = at::zeros({1});
  const auto file = write("w.safetensors", tensors);
  expect_equal(file, plain);
  EXPECT_THAT(to_official(open_and_identify(file)).notes,
              Contains(AllOf(HasSubstr("'model.diffusion_model.'"), HasSubstr("2 others"))));
}

TEST_F(Wrapped, AnEmaInTheSameNamesIsChosenByRequest) {
  const Tensors model = dit(), average = dit();
  auto tensors = renamed(model, "model.module.");
  tensors.merge(renamed(average, "ema.module."));
  const auto file = write("w.safetensors", tensors);
  expect_equal(file, model);
  expect_equal(file, average, "ema");
  tensors.merge(renamed(model, "other."));
  EXPECT_THAT(refusal([&] { open_and_identify(write("w.safetensors", tensors)); }),
              AllOf(HasSubstr("several models"), HasSubstr("model.module., other.")));
}

TEST_F(Wrapped, QuantisedWeightsAreRefusedByName) {
  auto tensors = dit();
  tensors.at("blocks.0.mlp.fc1.weight") = at::zeros({1536, 384}, at::kChar);
  EXPECT_THAT(refusal([&] { to_official(open_and_identify(write("w.safetensors", tensors))); }),
              AllOf(HasSubstr("blocks.0.mlp.fc1.weight has the type I8"), HasSubstr("quantised")));
  tensors = dit();
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kFloat8_e4m3fn);
  const auto narrow = to_official(open_and_identify(write("w.safetensors", tensors)));
  EXPECT_EQ(cast(narrow.weights, at::kHalf).read("blocks.0.mlp.fc1.weight").scalar_type(), at::kHalf);
}

}  // namespace
}  // namespace pixart::convert
