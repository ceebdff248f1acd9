#include "attention_timing.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

namespace pixart::nn {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> texts_of(const std::vector<AttentionForm>& forms) {
  std::vector<std::string> texts;
  for (const auto& form : forms) texts.push_back(to_text(form));
  return texts;
}

TEST(AttentionForms, ArePaddedWhereKernelsAreOfOtherSizes) {
  EXPECT_THAT(texts_of(forms_of(72, true)),
              ElementsAre("flash of 72", "flash of 96", "cudnn of 72", "cudnn of 128"));
  EXPECT_THAT(texts_of(forms_of(72, false)), ElementsAre("flash of 72", "flash of 96"));
  EXPECT_THAT(texts_of(forms_of(64, true)), ElementsAre("flash of 64", "cudnn of 64"));
  EXPECT_THAT(texts_of(forms_of(64, false)), ElementsAre("flash of 64"));
}

TEST(AttentionForms, AreOneWithDeterministicAlgorithms) {
  at::globalContext().setDeterministicAlgorithms(true, false);
  const auto forms = forms_of(72, true);
  at::globalContext().setDeterministicAlgorithms(false, false);
  EXPECT_THAT(texts_of(forms), ElementsAre("flash of 72"));
}

// Values and gradients.
TEST(AttentionForms, PaddingChangesNoResult) {
  const auto made = [](int64_t tokens) {
    return at::randn({2, tokens, 3, 8}, at::kDouble).transpose(1, 2).set_requires_grad(true);
  };
  const at::Tensor q = made(5), k = made(7), v = made(7), pull = at::randn({2, 3, 5, 8}, at::kDouble);
  const auto results = [&](const at::Tensor& out) {
    auto tensors = torch::autograd::grad({(out * pull).sum()}, {q, k, v});
    tensors.push_back(out);
    return tensors;
  };
  const auto padded = results(attention_in({.cudnn = false, .head_size = 32}, q, k, v)),
             plain = results(at::scaled_dot_product_attention(q, k, v));
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(at::allclose(padded[i], plain[i], 1e-12, 1e-12)) << i;
}

}  // namespace
}  // namespace pixart::nn
