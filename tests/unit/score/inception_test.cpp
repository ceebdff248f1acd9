// Golden kinds score_resize and score_network, and weights that are refused_inception.
#include "inception.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formula_inception.h"
#include "golden.h"
#include "pixart/formats/tensor_file.h"
#include "resize.h"
#include "scratch_folder.h"

namespace pixart::score {
namespace {

using ::testing::AllOf;
using testing::expect_golden;
using testing::golden_cases;
using testing::GoldenCase;
using ::testing::HasSubstr;
using ::testing::Not;

const std::map<std::string, at::Tensor>& weights_by_formula() {
  static const auto weights = testing::formula_weights(inception_shapes());
  return weights;
}

at::Tensor planes(const std::vector<float>& values) {
  return at::from_blob(const_cast<float*>(values.data()), {3, kInceptionSide, kInceptionSide}, at::kFloat)
      .clone();
}

Image image_of(const nlohmann::json& sizes, const std::string& name) {
  return testing::formula_image(name, sizes.at(name).at(0), sizes.at(name).at(1));
}

TEST(Golden, ScoreResize) {
  for (const auto& c : golden_cases("score_resize")) {
    const int64_t stride = c.config().at("stride");
    for (const auto& [name, size] : c.config().at("sizes").items())
      for (const auto& [rule_name, rule] : enum_words(ResizeRule{})) {
        const at::Tensor all = planes(resized(image_of(c.config().at("sizes"), name), rule));
        expect_golden(c, "out." + name + "." + rule_name,
                      all.slice(1, 0, at::nullopt, stride).slice(2, 0, at::nullopt, stride));
      }
  }
}

// All images of a case, as the network wants them.
at::Tensor inputs(const GoldenCase& c, ResizeRule rule) {
  std::vector<at::Tensor> images;
  for (const auto& [name, size] : c.config().at("sizes").items()) {
    auto values = resized(image_of(c.config().at("sizes"), name), rule);
    scale_for_network(values, rule);
    images.push_back(planes(values));
  }
  return at::stack(images);
}

TEST(Golden, ScoreNetwork) {
  const Inception network(weights_by_formula(), "the formula");
  for (const auto& c : golden_cases("score_network"))
    for (const auto& [name, rule] : enum_words(ResizeRule{})) {
      const auto outputs = network(inputs(c, rule));
      const std::string rule_name = name;
      for (const auto& [part, got] : {std::pair{"out.features.", outputs.features},
                                      {"out.logits.", outputs.logits},
                                      {"out.spatial.", outputs.spatial}})
        if (c.has(part + rule_name)) expect_golden(c, part + rule_name, got);
    }
}

std::string refused_inception(const std::filesystem::path& file) {
  return testing::refusal([&] { open_inception(file, at::kCPU); });
}

using OpenInception = testing::ScratchFolder;

TEST_F(OpenInception, RefusesTorchvisionsWeightsByName) {
  const auto file = folder_ / "inception_v3_google-0cc3c7bd.safetensors";
  formats::save_safetensors(file, {{"Conv2d_1a_3x3.conv.weight", at::zeros({32, 3, 3, 3})},
                                   {"fc.weight", at::zeros({1000, 2048})},
                                   {"fc.bias", at::zeros({1000})}});
  EXPECT_THAT(refused_inception(file), HasSubstr("torchvision's weights"));
  EXPECT_THAT(refused_inception(file), HasSubstr("pt_inception-2015-12-05-6726825d.pth"));
}

// Many networks have a layer fc.
TEST_F(OpenInception, OtherNetworksAreNotTorchvisionsInception) {
  const auto file = folder_ / "resnet18.safetensors";
  formats::save_safetensors(
      file, {{"conv1.weight", at::zeros({64, 3, 7, 7})}, {"fc.weight", at::zeros({1000, 512})}});
  EXPECT_THAT(refused_inception(file),
              AllOf(HasSubstr("these are not weights of Inception v3"), Not(HasSubstr("torchvision"))));
}

TEST_F(OpenInception, SaysWhatIsMissing) {
  const auto file = folder_ / "part.safetensors";
  formats::save_safetensors(file, {{"Conv2d_1a_3x3.conv.weight", at::zeros({32, 3, 3, 3})}});
  EXPECT_THAT(refused_inception(file), HasSubstr("missing: Mixed_7c.branch_pool.bn.running_var"));
  EXPECT_THAT(refused_inception(folder_ / "none.pth"), HasSubstr("pt_inception-2015-12-05"));
}

// The name of a published file holds its hash: a download that was cut off is found.
TEST_F(OpenInception, ComparesTheHashInTheName) {
  const auto file = folder_ / "pt_inception-2015-12-05-6726825d.pth";
  formats::write_pth(file, formats::weights_of({{"Conv2d_1a_3x3.conv.weight", at::zeros({32, 3, 3, 3})}}));
  EXPECT_THAT(refused_inception(file), HasSubstr("not with the 6726825d of its name"));
}

}  // namespace
}  // namespace pixart::score
