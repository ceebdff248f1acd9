#include "pixart/optim/muon.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pixart/base/random.h"

namespace pixart::optim {
namespace {

at::Tensor noise(at::IntArrayRef shape, uint64_t stream) {
  at::Tensor tensor = at::empty(shape);
  fill_normal({5, stream, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
  return tensor;
}

TEST(NewtonSchulz, SingularValuesComeNearOneAndVectorsStay) {
  for (const auto& shape : {std::vector<int64_t>{2, 16, 16}, {3, 24, 8}, {1, 8, 24}}) {
    const at::Tensor matrices = noise(shape, 1);
    const at::Tensor result = newton_schulz(matrices);
    for (int64_t i = 0; i < shape[0]; ++i) {
      const auto [u, s, v] = at::linalg_svd(matrices[i], /*full_matrices=*/false);
      const at::Tensor inside = u.t().matmul(result[i]).matmul(v.t());
      const at::Tensor diagonal = inside.diagonal();
      const at::Tensor large =
          diagonal.masked_select(s / s.max() > 0.02);  // the iteration reaches these in five steps
      EXPECT_GT(large.min().item<double>(), 0.5);
      EXPECT_LT(large.max().item<double>(), 1.5);
      EXPECT_LT((inside - at::diag(diagonal)).abs().max().item<double>(), 1e-4);
    }
  }
}

TEST(NewtonSchulz, NothingStaysNothing) {
  EXPECT_TRUE(at::equal(newton_schulz(at::zeros({2, 3, 4})), at::zeros({2, 3, 4})));
}

TEST(Muon, NamesTellTheMatrices) {
  EXPECT_EQ(matrices_in("blocks.3.attn.qkv.weight", {96, 32}), 3);
  EXPECT_EQ(matrices_in("blocks.3.cross_attn.kv_linear.weight", {64, 32}), 2);
  EXPECT_EQ(matrices_in("blocks.3.adaLN_modulation.1.weight", {192, 32}), 6);
  EXPECT_EQ(matrices_in("t_block.1.weight", {192, 32}), 6);
  EXPECT_EQ(matrices_in("blocks.3.mlp.fc1.weight", {128, 32}), 1);
  EXPECT_EQ(matrices_in("encoder.mid_block.attentions.0.to_q.weight", {16, 16}), 1);
  for (const char* name : {"x_embedder.proj.weight", "t_embedder.mlp.0.weight",
                           "y_embedder.y_proj.fc1.weight", "y_embedder.embedding_table.weight",
                           "final_layer.linear.weight", "final_layer.adaLN_modulation.1.weight",
                           "blocks.0.scale_shift_table", "blocks.0.attn.qkv.lora_A.weight"})
    EXPECT_EQ(matrices_in(name, {32, 32}), 0) << name;
  EXPECT_EQ(matrices_in("blocks.3.attn.qkv.bias", {96}), 0);
  EXPECT_EQ(matrices_in("conv_in.weight", {8, 3, 3, 3}), 0);
}

// Parameters after three steps.
std::vector<at::Tensor> moved(std::vector<at::Tensor> parameters, const std::vector<at::Tensor>& gradients,
                              const std::vector<int64_t>& matrices) {
  for (auto& parameter : parameters) parameter = parameter.clone().set_requires_grad(true);
  const FlatParameters flat(parameters);
  MuonState state = make_muon_state(flat, matrices);
  for (int step = 1; step <= 3; ++step) {
    const auto views = flat.views(flat.gradients());
    for (size_t i = 0; i < views.size(); ++i) views[i].copy_(gradients[i] * double(step));
    muon_step(flat, matrices, state, {}, 0.01);
  }
  EXPECT_EQ(state.steps, 3);
  return flat.views(flat.values());
}

TEST(Muon, AStackedParameterMovesAsItsMatricesWould) {
  const at::Tensor start = noise({12, 5}, 2),
                   gradient = noise({12, 5}, 3) * at::linspace(0.1, 3, 12).view({12, 1});
  const auto whole = moved({start}, {gradient}, {3});
  const auto parts =
      moved({start.narrow(0, 0, 4), start.narrow(0, 4, 4), start.narrow(0, 8, 4)},
            {gradient.narrow(0, 0, 4), gradient.narrow(0, 4, 4), gradient.narrow(0, 8, 4)}, {1, 1, 1});
  EXPECT_TRUE(at::allclose(whole[0], at::cat(parts), 1e-5, 1e-7));
  EXPECT_FALSE(at::allclose(whole[0], moved({start}, {gradient}, {1})[0], 1e-3, 1e-5));
}

TEST(Muon, AnUpdateHasTheSizeOfOneOfAdamW) {
  const at::Tensor start = at::zeros({48, 64}), gradient = 1e-3 * noise({48, 64}, 4);
  const at::Tensor change = moved({start}, {gradient}, {1})[0];
  EXPECT_NEAR(change.square().mean().sqrt().item<double>(), 3 * 0.01 * 0.2, 0.001);
}

}  // namespace
}  // namespace pixart::optim
