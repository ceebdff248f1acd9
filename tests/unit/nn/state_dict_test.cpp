#include "pixart/nn/state_dict.h"

#include <gmock/gmock.h>

#include "pixart/base/error.h"

namespace pixart::nn {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Model {
  StateDict state;
  at::Tensor weight, bias, table;
  explicit Model(StateDictOptions options = {}) : state(options) {
    const Scope layer = Scope(state) / "blocks" / 0 / "fc1";
    weight = layer.parameter("weight", {3, 2});
    bias = layer.parameter("bias", {3});
    table = Scope(state).buffer("pos_embed", {1, 4});
  }
};

std::map<std::string, at::Tensor> file() {
  return {{"blocks.0.fc1.weight", at::randn({3, 2})},
          {"blocks.0.fc1.bias", at::randn({3})},
          {"pos_embed", at::randn({1, 4})}};
}

template <class Load>
std::string message_of(const Load& load) {
  try {
    load();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(StateDict, RegistersInOrderUnderScopedNames) {
  const Model model;
  ASSERT_EQ(model.state.items().size(), 3u);
  EXPECT_EQ(model.state.items()[0].name, "blocks.0.fc1.weight");
  EXPECT_EQ(model.state.items()[1].name, "blocks.0.fc1.bias");
  EXPECT_EQ(model.state.items()[2].name, "pos_embed");
  EXPECT_FALSE(model.state.items()[2].trainable);
  EXPECT_EQ(model.state.trainable().size(), 2u);
  EXPECT_EQ(model.state.num_parameters(), 9);
  EXPECT_TRUE(model.state.get("blocks.0.fc1.bias").is_same(model.bias));
  EXPECT_EQ(model.weight.count_nonzero().item<int64_t>(), 0);
}

TEST(StateDict, AFrozenTensorIsKeptButNotTrained) {
  Model model;
  model.state.freeze("blocks.0.fc1.weight");
  EXPECT_EQ(trainable_names(model.state), (std::vector<std::string>{"blocks.0.fc1.bias"}));
  ASSERT_EQ(model.state.trainable().size(), 1u);
  EXPECT_TRUE(model.state.trainable()[0].is_same(model.bias));
  EXPECT_EQ(model.state.num_parameters(), model.bias.numel());
  EXPECT_TRUE(model.state.get("blocks.0.fc1.weight").is_same(model.weight));
  EXPECT_THROW(model.state.freeze("blocks.0.fc2.weight"), InternalError);
}

TEST(StateDict, TwoTensorsOfOneNameAreOurBug) {
  StateDict state;
  state.add("w", {1});
  EXPECT_THROW(state.add("w", {1}), InternalError);
  EXPECT_THROW(state.get("v"), InternalError);
}

TEST(StateDict, TakesTypeAndDevice) {
  const Model model({.dtype = at::kDouble, .device = at::kMeta});
  EXPECT_EQ(model.weight.scalar_type(), at::kDouble);
  EXPECT_TRUE(model.weight.is_meta());
  EXPECT_EQ(model.state.num_parameters(), 9);
}

TEST(LoadState, CopiesIntoTheLayersTensorsAndConverts) {
  Model model({.dtype = at::kDouble});
  const auto tensors = file();
  const void* memory = model.weight.data_ptr();
  load_state(model.state, tensors, "a.safetensors");
  EXPECT_EQ(model.weight.data_ptr(), memory);
  EXPECT_TRUE(at::equal(model.weight, tensors.at("blocks.0.fc1.weight").to(at::kDouble)));
  EXPECT_TRUE(at::equal(model.table, tensors.at("pos_embed").to(at::kDouble)));
}

TEST(LoadState, ReportsEverythingAtOnceAndChangesNothing) {
  Model model;
  auto tensors = file();
  tensors["pos_embed"] = at::ones({1, 5});
  tensors["blocks.0.fc1.wieght"] = tensors["blocks.0.fc1.weight"];
  tensors.erase("blocks.0.fc1.weight");
  tensors["extra"] = at::ones({1});
  const std::string message = message_of([&] { load_state(model.state, tensors, "a.safetensors"); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("a.safetensors"),
                    HasSubstr("missing: blocks.0.fc1.weight [3, 2] Did you mean 'blocks.0.fc1.wieght'?"),
                    HasSubstr("unexpected: blocks.0.fc1.wieght Did you mean 'blocks.0.fc1.weight'?"),
                    HasSubstr("unexpected: extra"),
                    HasSubstr("pos_embed is [1, 5] in the file, [1, 4] in the model")));
  EXPECT_EQ(model.bias.count_nonzero().item<int64_t>(), 0);
}

TEST(LoadState, AllowanceCoversNamesAndPrefixes) {
  Model model;
  auto tensors = file();
  tensors.erase("pos_embed");
  tensors["decoder.layer.0"] = at::ones({1});
  const LoadAllowance allowance{.may_be_missing = {"pos_embed"}, .may_be_unexpected = {"decoder.*"}};
  load_state(model.state, tensors, "a", allowance);
  EXPECT_TRUE(at::equal(model.bias, tensors.at("blocks.0.fc1.bias")));
  tensors["decoders"] = at::ones({1});
  EXPECT_THAT(message_of([&] { load_state(model.state, tensors, "a", allowance); }),
              HasSubstr("unexpected: decoders"));
}

TEST(LoadState, AnAllowedTensorMustStillFit) {
  Model model;
  auto tensors = file();
  tensors["pos_embed"] = at::ones({2, 4});
  EXPECT_THAT(message_of([&] {
                load_state(model.state, tensors, "a", {{"pos_embed"}, {}});
              }),
              HasSubstr("pos_embed is [2, 4]"));
}

TEST(AdoptState, TakesMemoryOverWhereTypesAgree) {
  Model model({.zeros = false});
  auto tensors = file();
  tensors["blocks.0.fc1.bias"] = at::ones({3}, at::kDouble);
  const at::Tensor source = tensors.at("blocks.0.fc1.weight");
  adopt_state(model.state, tensors, "a");
  EXPECT_EQ(model.weight.data_ptr(), source.data_ptr());
  EXPECT_TRUE(at::equal(model.bias, at::ones({3})));
  EXPECT_TRUE(model.state.get("blocks.0.fc1.weight").is_same(model.weight));
}

TEST(AdoptState, IsAsStrictAsLoading) {
  Model model;
  EXPECT_THAT(message_of([&] { adopt_state(model.state, {}, "a"); }), HasSubstr("missing: pos_embed"));
}

TEST(CopyState, NeedsTheSameNamesAndShapes) {
  Model from, to;
  load_state(from.state, file(), "a");
  copy_state(to.state, from.state);
  EXPECT_TRUE(at::equal(to.weight, from.weight));
  StateDict other, broadcast;
  other.add("x", {1});
  broadcast.add("x", {4});
  EXPECT_THROW(copy_state(to.state, other), InternalError);
  EXPECT_THROW(copy_state(broadcast, other), InternalError);
}

}  // namespace
}  // namespace pixart::nn
