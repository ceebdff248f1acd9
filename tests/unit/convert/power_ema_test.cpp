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

}  // namespace
}  // namespace pixart::convert
