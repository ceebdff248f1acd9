#include "pixart/convert/power_ema.h"

#include "model_files.h"
#include "pixart/convert/convert.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/optim/power_ema.h"

namespace pixart::convert {
namespace {

using ::testing::HasSubstr;

class PowerEmaFiles : public ModelFiles {
 protected:
  void store(int64_t updates, float value, std::vector<double> lengths = {0.05, 0.1},
             int64_t size = 2) const {
    std::vector<formats::NamedTensor> tensors;
    for (size_t i = 0; i < lengths.size(); ++i) {
      tensors.push_back({fmt::format("{}.moved", i), at::full({size}, value + float(i))});
      tensors.push_back({fmt::format("{}.fixed", i), at::full({3}, 0.1F)});
    }
    formats::save_safetensors(
        folder_ / fmt::format("step-{:08d}.safetensors", updates), tensors,
        {{optim::kPowerEmaKey, optim::text_of({.updates = updates, .lengths = lengths})}});
  }
};

TEST_F(PowerEmaFiles, AreMixedTensorByTensor) {
  store(10, 1);
  store(20, 3);
  const auto stored = power_ema_weights(folder_, 0.1);
  EXPECT_EQ(stored.tensors.size(), 2u);
  EXPECT_TRUE(at::allclose(stored.read("moved"), at::full({2}, 4.0F), 1e-5)) << "a stored one is itself";
  const auto between = power_ema_weights(folder_, 0.07).read("moved");
  EXPECT_GT(between[0].item<float>(), 3);
  EXPECT_LT(between[0].item<float>(), 4);
  EXPECT_TRUE(at::equal(power_ema_weights(folder_, 0.2).read("fixed"), at::full({3}, 0.1F)));
  EXPECT_THAT(stored.notes, ::testing::ElementsAre(HasSubstr("after 20 updates, from 4 stored ones")));
}

TEST_F(PowerEmaFiles, ThatDoNotFitEachOtherAreRefused) {
  EXPECT_THAT(refusal([&] { power_ema_weights(folder_, 0.1); }), HasSubstr("power_ema.every"));
  store(10, 1);
  store(20, 1, {0.05, 0.2});
  EXPECT_THAT(refusal([&] { power_ema_weights(folder_, 0.1); }),
              HasSubstr("step-00000020.safetensors is of another"));
  store(20, 1, {0.05, 0.1}, 5);
  EXPECT_THAT(refusal([&] { power_ema_weights(folder_, 0.1); }), HasSubstr("of another model"));
  formats::save_safetensors(folder_ / "step-00000020.safetensors", {{"0.moved", at::ones({2})}});
  EXPECT_THAT(refusal([&] { power_ema_weights(folder_, 0.1); }), HasSubstr("does not hold power EMAs"));
}

class DamagedPowerEmas : public PowerEmaFiles {
 protected:
  // What is said of a file of step 10 whose tensors are these; 10 updates, lengths 0.05 and 0.1, unless they are given.
  std::string said_of(const std::vector<formats::NamedTensor>& tensors,
                      const optim::StoredEmas& stored = {.updates = 10, .lengths = {0.05, 0.1}}) const {
    formats::save_safetensors(folder_ / "step-00000010.safetensors", tensors,
                              {{optim::kPowerEmaKey, optim::text_of(stored)}});
    const std::string message = refusal([&] { power_ema_weights(folder_, 0.1); });
    EXPECT_THAT(message, HasSubstr("step-00000010.safetensors"));
    return message;
  }
};

TEST_F(DamagedPowerEmas, TensorsThatTheMetadataDoesNotClaimAreRefusedBeforeAnyWork) {
  const at::Tensor two = at::ones({2}), one = at::ones({1});
  EXPECT_THAT(said_of({{"0.a", two}}), HasSubstr("one EMA has and another lacks: 1.a"));
  EXPECT_THAT(said_of({{"1.a", two}}), HasSubstr("one EMA has and another lacks: 0.a"));
  EXPECT_THAT(said_of({{"0.a", two}, {"1.a", one}}), HasSubstr("shape is not that of the first EMA: 1.a"))
      << "it would be added to each number";
  EXPECT_THAT(said_of({{"0.a", two}, {"1.a", at::ones({2}, at::kLong)}}),
              HasSubstr("not of a floating-point type: 1.a"));
  for (const char* strange : {"2.a", "00.a", "a", ".a", "0.", "-1.a", "10.a"})
    EXPECT_THAT(said_of({{"0.a", two}, {"1.a", two}, {strange, two}}),
                HasSubstr(fmt::format("tensors of none of its 2 EMAs: {}", strange)));
  EXPECT_THAT(said_of({}), HasSubstr("it has no tensors"));
  EXPECT_THAT(said_of({{"0.a", two}, {"1.b", two}, {"x", two}}),
              ::testing::AllOf(HasSubstr("1.a, 0.b"), HasSubstr("EMAs: x")))
      << "all at once";
}

TEST_F(DamagedPowerEmas, LengthsAndUpdatesThatNoRunStoresAreRefused) {
  const std::vector<formats::NamedTensor> both = {{"0.a", at::ones({2})}, {"1.a", at::ones({2})}};
  EXPECT_THAT(said_of(both, {.updates = 10, .lengths = {0.05, 0.05}}), HasSubstr("metadata is damaged"));
  EXPECT_THAT(said_of(both, {.updates = 10, .lengths = std::vector<double>(16, 0.05)}),
              HasSubstr("metadata is damaged"));
  EXPECT_THAT(said_of(both, {.updates = 10, .lengths = {0.05, 0.1, 0.2}}), HasSubstr("lacks: 2.a"));
  EXPECT_THAT(said_of(both, {.updates = 10, .lengths = {0.05}}), HasSubstr("none of its 1 EMAs: 1.a"));
  EXPECT_THAT(said_of(both, {.updates = 1'000'000'000, .lengths = {0.05, 0.1}}),
              HasSubstr("1,000,000,000 updates after 10 steps"));
  EXPECT_THAT(said_of(both, {.updates = 11, .lengths = {0.05, 0.1}}), HasSubstr("11 updates after 10 steps"));
}

// Bad steps make no update, and the name of a step has more digits from step 100,000,000 on.
TEST_F(PowerEmaFiles, TheLastStepCounts) {
  const auto store_step = [&](int64_t step, int64_t updates, float value) {
    formats::save_safetensors(
        folder_ / fmt::format("step-{:08d}.safetensors", step),
        {{"0.a", at::full({2}, value).to(at::kDouble)}, {"1.a", at::full({2}, value).to(at::kDouble)}},
        {{optim::kPowerEmaKey, optim::text_of({.updates = updates, .lengths = {0.05, 0.1}})}});
  };
  store_step(99'999'999, 50, 1);
  store_step(100'000'000, 60, 2);
  const auto stored = power_ema_weights(folder_, 0.1);
  EXPECT_THAT(stored.notes, ::testing::ElementsAre(HasSubstr("after 60 updates, from 4 stored ones")));
  EXPECT_EQ(stored.tensors.at("a").dtype, at::kFloat);
  EXPECT_EQ(stored.read("a").scalar_type(), at::kFloat);
  EXPECT_TRUE(at::allclose(stored.read("a"), at::full({2}, 2.0F), 1e-4));
}

}  // namespace
}  // namespace pixart::convert
