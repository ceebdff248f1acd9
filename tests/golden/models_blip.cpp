// Golden kind `blip_vqa`: a folder of transformers and a file with BLIP's own names, read and run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "golden.h"
#include "pixart/base/error.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/models/blip.h"
#include "scratch_folder.h"

namespace pixart::models {
namespace {

using testing::expect_golden;
using testing::golden_cases;
using ::testing::HasSubstr;

std::filesystem::path model_of(const testing::GoldenCase& c) {
  return c.folder / c.config().at("model").get<std::string>();
}

TEST(GoldenBlip, ImagesTextsAndAnswers) {
  at::NoGradGuard no_grad;
  for (const auto& c : golden_cases("blip_vqa")) {
    SCOPED_TRACE(c.name);
    const auto loaded = load_blip_vqa_weights(model_of(c), at::kCPU);
    const at::Tensor mask = c.tensor("in.mask");
    const at::Tensor images = loaded.model->image_states(c.tensor("in.images"));
    const at::Tensor texts = loaded.model->text_states(c.tensor("in.ids"), mask, images);
    expect_golden(c, "out.image_states", images);
    expect_golden(c, "out.text_states", texts * mask.unsqueeze(2));
    expect_golden(c, "out.logits", loaded.model->answer_logits(c.tensor("in.answers"), texts, mask));
    EXPECT_EQ(check_blip_vqa_weights(model_of(c)).vision.image_size, c.config().at("side").get<int64_t>());
  }
}

// What is masked has no effect, and neither has an answer's later token on an earlier one.
TEST(GoldenBlip, PaddingAndLaterTokensHaveNoEffect) {
  at::NoGradGuard no_grad;
  const auto c = golden_cases("blip_vqa").front();
  const auto loaded = load_blip_vqa_weights(model_of(c), at::kCPU);
  const at::Tensor images = loaded.model->image_states(c.tensor("in.images")), mask = c.tensor("in.mask");
  const at::Tensor ids = c.tensor("in.ids"), answers = c.tensor("in.answers");
  const auto logits = [&](const at::Tensor& asked, const at::Tensor& given) {
    return loaded.model->answer_logits(given, loaded.model->text_states(asked, mask, images), mask);
  };
  const at::Tensor other_ids = at::where(mask.to(at::kBool), ids, ids + 1);
  ASSERT_FALSE(at::equal(other_ids, ids));
  EXPECT_TRUE(at::allclose(logits(other_ids, answers), logits(ids, answers), 0, 1e-6));
  at::Tensor later = answers.clone();
  later.slice(1, 2).fill_(7);
  EXPECT_TRUE(at::allclose(logits(ids, later).slice(1, 0, 2), logits(ids, answers).slice(1, 0, 2), 0, 1e-6));
  EXPECT_FALSE(at::allclose(logits(ids, later).slice(1, 2), logits(ids, answers).slice(1, 2), 0, 1e-3));
}

class BlipFiles : public testing::ScratchFolder {
 protected:
  // The model with BLIP's own names after `change`.
  template <class Change>
  std::filesystem::path changed(const Change& change) const {
    const auto cases = golden_cases("blip_vqa");
    const auto own =
        std::find_if(cases.begin(), cases.end(), [](const auto& c) { return c.name == "own_names"; });
    auto tensors = formats::read_all(formats::open_weights(model_of(*own)));
    change(tensors);
    std::vector<formats::NamedTensor> named;
    for (const auto& [name, tensor] : tensors) named.push_back({name, tensor});
    formats::save_safetensors(folder_ / "model.safetensors", named);
    return folder_ / "model.safetensors";
  }
  template <class Change>
  std::string refusal_after(const Change& change) const {
    return testing::refusal([&] { check_blip_vqa_weights(changed(change)); });
  }
};

TEST_F(BlipFiles, ThatDoNotFitAreRefusedWithTheTensor) {
  using Tensors = std::map<std::string, at::Tensor>;
  const auto without = [&](const char* name) { return refusal_after([&](Tensors& t) { t.erase(name); }); };
  EXPECT_NO_THROW(check_blip_vqa_weights(changed([](Tensors&) {})));
  EXPECT_THAT(without("visual_encoder.cls_token"), HasSubstr("no tensor visual_encoder.cls_token"));
  EXPECT_THAT(without("text_decoder.cls.predictions.transform.dense.bias"),
              HasSubstr("transform.dense.bias"));
  EXPECT_NO_THROW(check_blip_vqa_weights(changed([](Tensors& t) {
    t.erase("text_decoder.cls.predictions.decoder.weight");
  }))) << "it is that of the words";
  EXPECT_THAT(refusal_after([](Tensors& t) {
                t["visual_encoder.pos_embed"] = at::zeros({1, 8, 64});
              }),
              HasSubstr("8 positions"));
  EXPECT_THAT(refusal_after([](Tensors& t) {
                t["visual_encoder.cls_token"] = at::zeros({1, 1, 48});
              }),
              HasSubstr("48 channels"));
  EXPECT_THAT(refusal_after([](Tensors& t) { t["text_encoder.pooler.dense.bias"] = at::zeros({64}); }),
              HasSubstr("unexpected: text_encoder.pooler.dense.bias"));
}

TEST_F(BlipFiles, ConfigsOfOtherModelsListEveryProblem) {
  std::ofstream(folder_ / "config.json") << R"({"model_type": "clip",
    "vision_config": {"hidden_size": 100, "hidden_act": "relu"}, "text_config": {"hidden_size": 64}})";
  const std::string why = testing::refusal([&] { read_blip_config(folder_ / "config.json"); });
  for (const char* part : {"model_type", "12 heads do not divide 100", "hidden_act", "num_attention_heads"})
    EXPECT_THAT(why, HasSubstr(part));
  EXPECT_THAT(testing::refusal([&] { check_blip_vqa_weights(folder_ / "nowhere"); }),
              HasSubstr("does not exist"));
}

}  // namespace
}  // namespace pixart::models
