#include "pixart/convert/layout.h"

#include "model_files.h"
#include "pixart/convert/convert.h"
#include "pixart/convert/inspect.h"

namespace pixart::convert {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(ModelFiles, ADitIsDeducedFromItsShapes) {
  const auto path = save<models::Dit>("dit.safetensors", small_dit());
  const Identity identity = open_and_identify(path).identity;
  EXPECT_EQ(identity.layout, Layout::kDit);
  EXPECT_EQ(architecture_text(identity.architecture), architecture_text(small_dit()));
  EXPECT_THAT(identity.assumed, ElementsAre(HasSubstr("6 heads")));
}

TEST_F(ModelFiles, QkNormIsSeenAndWritten) {
  auto config = small_dit();
  EXPECT_THAT(architecture_text(config), ::testing::Not(HasSubstr("qk_norm")));
  config.qk_norm = true;
  const auto path = save<models::Dit>("dit.safetensors", config);
  const auto identity = open_and_identify(path).identity;
  EXPECT_TRUE(std::get<models::DitConfig>(identity.architecture).qk_norm);
  const auto parsed = parse_architecture(architecture_text(config), "it");
  EXPECT_TRUE(std::get<models::DitConfig>(parsed).qk_norm);
  EXPECT_THAT(refusal([&] {
                write_transformer(to_official(open_and_identify(path)), folder_ / "diffusers", "test", {});
              }),
              HasSubstr("qk_norm"));
}

TEST_F(ModelFiles, HeadsOfAnUnpublishedWidthAreNotKnownUntilTheyAreGiven) {
  auto dit = small_dit();
  dit.hidden_size = 48, dit.num_heads = 3;
  auto pixart = small_pixart();
  pixart.hidden_size = 48, pixart.num_heads = 3;
  for (const auto& path :
       {save<models::Dit>("dit.safetensors", dit), save<models::PixArt>("p.safetensors", pixart)}) {
    EXPECT_THAT(open_and_identify(path).identity.summary, HasSubstr("width 48, heads not known, patch 2"));
    EXPECT_THAT(open_and_identify(path, "model", {.num_heads = 3}).identity.summary,
                HasSubstr("width 48, 3 heads, patch 2"));
    EXPECT_THAT(refusal([&] { to_official(open_and_identify(path)); }), HasSubstr("--num-heads"));
  }
}

TEST_F(ModelFiles, AnUnknownSchedulerKeepsNobodyFromTheWeights) {
  std::filesystem::create_directories(folder_ / "scheduler");
  const auto path = save<models::Dit>("dit.safetensors", small_dit());
  const auto opened_with = [&](const std::string& scheduler) {
    write("scheduler/scheduler_config.json", scheduler);
    return open_and_identify(path);
  };
  EXPECT_EQ(opened_with(R"({"prediction_type": "v_prediction"})").identity.process->prediction,
            diffusion::Prediction::kV);
  const auto unknown = opened_with(R"({"beta_schedule": "scaled_linear"})");
  EXPECT_FALSE(unknown.identity.process);
  EXPECT_THAT(unknown.weights.notes, ::testing::Contains(HasSubstr("scaled_linear")));
}

TEST_F(ModelFiles, ADitWithoutNullClassKeepsItsClasses) {
  auto config = small_dit();
  config.num_classes = 10, config.has_null_class = false;
  const auto path = save<models::Dit>("dit.safetensors", config);
  const auto identity = open_and_identify(path).identity;
  EXPECT_EQ(architecture_text(identity.architecture), architecture_text(config));
  EXPECT_THAT(identity.assumed, ::testing::Contains(HasSubstr("10 classes and no null class")));
  const auto told = open_and_identify(path, "model", {.num_heads = 6, .num_classes = 9}).identity;
  EXPECT_THAT(told.summary, HasSubstr("9 classes"));
  config.num_classes = 7;
  const auto odd = save<models::Dit>("odd.safetensors", config);
  EXPECT_THAT(open_and_identify(odd).identity.summary, HasSubstr("6 classes"));
  EXPECT_THAT(open_and_identify(odd, "model", {.num_heads = 6, .num_classes = 7}).identity.summary,
              HasSubstr("7 classes, no null class"));
  const auto parsed = parse_architecture(architecture_text(config), "it");
  EXPECT_EQ(std::get<models::DitConfig>(parsed).label_rows(), 7);
  EXPECT_THAT(refusal([&] {
                write_transformer(to_official(open_and_identify(path)), folder_ / "diffusers", "test", {});
              }),
              HasSubstr("no null class"));
  write_transformer(to_official(open_and_identify(path)), folder_ / "again.safetensors", "test", {});
  EXPECT_EQ(architecture_text(open_and_identify(folder_ / "again.safetensors").identity.architecture),
            architecture_text(identity.architecture));
}

TEST_F(ModelFiles, APixArtIsDeducedFromItsShapesAndPositions) {
  for (const double scale : {0.5, 1.0, 2.0, 4.0}) {
    for (const bool multi_scale : {false, true}) {
      auto config = small_pixart();
      config.position_scale = scale, config.multi_scale = config.micro_conditions = multi_scale;
      const auto path = save<models::PixArt>("p.safetensors", config);
      const Identity identity = open_and_identify(path).identity;
      EXPECT_EQ(identity.layout, Layout::kPixArt);
      EXPECT_EQ(architecture_text(identity.architecture), architecture_text(config));
    }
  }
}

TEST_F(ModelFiles, TheFilesOwnWordComesFirst) {
  auto config = small_dit();
  config.num_heads = 12;
  const auto path =
      save<models::Dit>("d.safetensors", config, {{"pixart.architecture", architecture_text(config)}});
  const Identity identity = open_and_identify(path, "model", {.num_heads = 3}).identity;
  EXPECT_EQ(architecture_text(identity.architecture), architecture_text(config));
  EXPECT_THAT(identity.assumed, IsEmpty());
}

// Shapes that no model has must neither overflow nor be read beyond their sides.
TEST_F(ModelFiles, StrangeShapesAreOnlyDescribed) {
  const int64_t huge = int64_t{1} << 40;
  formats::save_safetensors(folder_ / "s.safetensors",
                            {{"t_block.1.weight", at::empty({0, 3})},
                             {"x_embedder.proj.weight", at::empty({0, huge, 2, 2})},
                             {"pos_embed", at::empty({0, 16, 64})}});
  EXPECT_EQ(open_and_identify(folder_ / "s.safetensors").identity.layout, Layout::kPixArt);
  formats::save_safetensors(folder_ / "s.safetensors",
                            {{"t_block.1.weight", at::empty({0, 3})}, {"pos_embed", at::zeros({16, 64})}});
  EXPECT_EQ(open_and_identify(folder_ / "s.safetensors").identity.layout, Layout::kPixArt);
}

TEST(Architecture, BadTextIsRefusedWithEveryProblem) {
  EXPECT_EQ(architecture_text(parse_architecture(architecture_text(small_pixart()), "a")),
            architecture_text(small_pixart()));
  EXPECT_THAT(refusal([] { parse_architecture("{}", "file.x"); }), HasSubstr("file.x"));
  EXPECT_THAT(refusal([] { parse_architecture(R"({"name":"DiT","depth":-1,"num_heads":"4"})", "file.x"); }),
              AllOf(HasSubstr("depth"), HasSubstr("num_heads"), HasSubstr("hidden_size")));
}

TEST_F(ModelFiles, InspectReportsPartsAndNumbersThatAreNone) {
  const auto path = save<models::PixArt>("model.safetensors", small_pixart());
  const auto reports = inspect(folder_);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_THAT(reports[0].opened.identity.summary, HasSubstr("width 384"));
  EXPECT_EQ(reports[0].dtypes.at("F32"), reports[0].numbers);
  EXPECT_THAT(find_not_finite(reports[0].opened.weights), IsEmpty());
  auto file = formats::load_safetensors(path);
  file.tensors.at("x_embedder.proj.bias")[3] = std::numeric_limits<float>::infinity();
  std::vector<formats::NamedTensor> tensors;
  for (const auto& [name, tensor] : file.tensors) tensors.push_back({name, tensor});
  formats::save_safetensors(path, tensors);
  EXPECT_THAT(find_not_finite(formats::open_weights(path)),
              ElementsAre(HasSubstr("x_embedder.proj.bias: 1 of")));
  EXPECT_THAT(refusal([&] { inspect(folder_ / "absent"); }), HasSubstr("does not exist"));
}

}  // namespace
}  // namespace pixart::convert
