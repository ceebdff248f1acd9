#include "pixart/models/t5.h"

#include "model_folder.h"

namespace pixart::models {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

T5Config tiny_t5() {
  T5Config config;
  config.vocab_size = 50, config.d_model = 16, config.d_kv = 6, config.d_ff = 24;
  config.num_layers = 2, config.num_heads = 3;
  return config;
}

struct TinyT5 {
  explicit TinyT5(at::ScalarType dtype = at::kFloat, uint64_t seed = 7)
      : state({.dtype = dtype}), encoder(nn::Scope(state), tiny_t5()) {
    initialize(state, tiny_t5(), seed, 3.0);
  }
  nn::StateDict state;
  T5Encoder encoder;
};

const at::Tensor kIds = at::tensor({5, 9, 3, 1, 0, 0, 8, 1, 0, 0, 0, 0}, at::kLong).view({2, 6});
const at::Tensor kMask = (kIds != 0).to(at::kLong);

TEST(T5Preset, ParameterCountsOfTheReleasedEncoders) {
  const std::map<std::string, int64_t> counts = {{"t5-v1_1-small", 35332800},
                                                 {"t5-v1_1-base", 109628544},
                                                 {"t5-v1_1-large", 341231104},
                                                 {"t5-v1_1-xl", 1223527424},
                                                 {"t5-v1_1-xxl", 4762310656}};
  EXPECT_EQ(t5_preset_names().size(), counts.size());
  for (const auto& name : t5_preset_names()) {
    nn::StateDict state({.device = at::kMeta});
    const T5Encoder encoder(nn::Scope(state), t5_preset(name));
    EXPECT_EQ(state.num_parameters(), counts.at(name)) << name;
    EXPECT_EQ(state.items().size(), size_t(9 * t5_preset(name).num_layers + 3)) << name;  // 219 for xxl
  }
  EXPECT_THAT(message_of([] { t5_preset("t5-v1_1-xxxl"); }),
              AllOf(HasSubstr("t5-v1_1-small"), HasSubstr("Did you mean 't5-v1_1-xxl'")));
}

TEST(T5Buckets, AreSymmetricBetweenTheHalvesAndEndInTheLastBucket) {
  const at::Tensor buckets = relative_buckets(300, {});
  EXPECT_EQ(buckets.size(0), 599);
  const auto bucket = [&](int64_t offset) { return buckets[299 + offset].item<int64_t>(); };
  EXPECT_EQ(bucket(0), 0);
  EXPECT_EQ(bucket(-7), 7);
  EXPECT_EQ(bucket(7), 23);
  for (const auto& [offset, expected] : std::map<int64_t, int64_t>{
           {8, 8}, {15, 9}, {16, 10}, {31, 11}, {32, 12}, {64, 14}, {91, 15}, {128, 15}, {299, 15}}) {
    EXPECT_EQ(bucket(-offset), expected) << offset;
    EXPECT_EQ(bucket(offset), expected + 16) << offset;
  }
  EXPECT_TRUE(at::equal(relative_buckets(1, {}), at::zeros({1}, at::kLong)));
}

TEST(T5Forward, MaskedTokensDoNotReachTheOthers) {
  TinyT5 model;
  const at::Tensor changed = at::where(kMask == 1, kIds, at::full_like(kIds, 33));
  const at::Tensor a = model.encoder.forward(kIds, kMask), b = model.encoder.forward(changed, kMask);
  EXPECT_TRUE(
      at::equal(a.masked_select(kMask.unsqueeze(-1) == 1), b.masked_select(kMask.unsqueeze(-1) == 1)));
  EXPECT_FALSE(at::equal(a, b));
  EXPECT_FALSE(at::allclose(a, model.encoder.forward(kIds, at::ones_like(kMask))));
}

TEST(T5Forward, PaddingChangesNothing) {
  TinyT5 model;
  const at::Tensor ids = kIds.slice(0, 1, 2).slice(1, 0, 2), mask = at::ones_like(ids);
  const at::Tensor alone = model.encoder.forward(ids, mask),
                   padded = model.encoder.forward(kIds, kMask)[1].slice(0, 0, 2);
  EXPECT_TRUE(at::allclose(alone[0], padded, 1e-5, 1e-5));
}

TEST(T5Forward, ALongerTextBeforeChangesNoBit) {
  TinyT5 fresh, prepared, grown;
  prepared.encoder.prepare(200);
  grown.encoder.forward(kIds.slice(1, 0, 2), kMask.slice(1, 0, 2));
  const at::Tensor expected = fresh.encoder.forward(kIds, kMask);
  EXPECT_TRUE(at::equal(prepared.encoder.forward(kIds, kMask), expected));
  EXPECT_TRUE(at::equal(grown.encoder.forward(kIds, kMask), expected));
}

TEST(T5Forward, HiddenStatesAreEmbeddingsAndOnePerBlock) {
  TinyT5 model;
  std::vector<at::Tensor> hidden;
  model.encoder.forward(kIds, kMask, &hidden);
  ASSERT_EQ(hidden.size(), 3u);
  EXPECT_TRUE(at::equal(hidden[0], at::embedding(model.state.get("shared.weight"), kIds)));
}

TEST(T5Forward, Float16SurvivesActivationsBeyondItsRange) {
  TinyT5 half(at::kHalf), full;
  // The weights are the same numbers in both, so only the arithmetic differs.
  nn::copy_state(full.state, half.state);
  for (auto* model : {&half, &full})
    model->state.get("encoder.block.0.layer.1.DenseReluDense.wo.weight").mul_(30000);
  std::vector<at::Tensor> hidden;
  const at::Tensor got = half.encoder.forward(kIds, kMask).to(at::kFloat);
  const at::Tensor want = full.encoder.forward(kIds, kMask, &hidden);
  ASSERT_GT(hidden[1].abs().max().item<double>(), 65504);
  ASSERT_TRUE(got.isfinite().all().item<bool>());
  EXPECT_LE((got - want).abs().mean().item<double>(),
            0.02);  // float16 has 11 bits; the outputs are of size 1
}

TEST(T5Initialize, DependsOnSeedAndNameOnly) {
  TinyT5 a, b, other(at::kFloat, 8);
  expect_same(a.state, b.state);
  const std::string q = "encoder.block.0.layer.0.SelfAttention.q.weight",
                    next = "encoder.block.1.layer.0.SelfAttention.q.weight";
  EXPECT_FALSE(at::equal(a.state.get(q), other.state.get(q)));
  EXPECT_FALSE(at::equal(a.state.get(q), a.state.get(next)));
}

TEST(T5Initialize, HasTheScalesOfThePublishedInitialisation) {
  T5Config config = t5_preset("t5-v1_1-small");
  config.num_layers = 1;
  nn::StateDict state;
  const T5Encoder encoder(nn::Scope(state), config);
  initialize(state, config, 1, 3.0);
  const std::string block = "encoder.block.0.layer.";
  const std::map<std::string, double> expected = {
      {"shared.weight", 1.0},
      {block + "0.SelfAttention.q.weight", std::pow(512.0 * 64, -0.5)},
      {block + "0.SelfAttention.k.weight", std::pow(512.0, -0.5)},
      {block + "0.SelfAttention.v.weight", std::pow(512.0, -0.5)},
      {block + "0.SelfAttention.o.weight", std::pow(384.0, -0.5)},
      {block + "1.DenseReluDense.wi_0.weight", std::pow(512.0, -0.5)},
      {block + "1.DenseReluDense.wi_1.weight", std::pow(512.0, -0.5)},
      {block + "1.DenseReluDense.wo.weight", std::pow(1024.0, -0.5)}};
  for (const auto& [name, spread] : expected)  // 2 %: more than four standard errors of the smallest tensor
    EXPECT_NEAR(state.get(name).std().item<double>() / spread, 1.0, 0.02) << name;
  EXPECT_NEAR(state.get(block + "0.SelfAttention.relative_attention_bias.weight").std().item<double>(), 3.0,
              0.9);
  EXPECT_TRUE(at::equal(state.get(block + "0.layer_norm.weight"), at::ones({512})));
}

class T5FolderTest : public ModelFolderTest {};

TEST_F(T5FolderTest, ComesBackBitForBitInEveryType) {
  for (const auto& [type, name] : {std::pair{at::kFloat, "float32"}, std::pair{at::kBFloat16, "bfloat16"},
                                   std::pair{at::kHalf, "float16"}}) {
    TinyT5 model(type);
    save_t5(folder_, model.encoder, model.state);
    const auto loaded = load_t5(folder_, at::kCPU);
    EXPECT_EQ(loaded.state->options().dtype, type);
    EXPECT_EQ(loaded.encoder->config().dtype, name);
    expect_same(model.state, *loaded.state);
    EXPECT_TRUE(at::equal(model.encoder.forward(kIds, kMask), loaded.encoder->forward(kIds, kMask)));
  }
  EXPECT_EQ(read_config().at("architectures"), nlohmann::json({"T5EncoderModel"}));
}

TEST_F(T5FolderTest, LoadsInAnotherType) {
  TinyT5 model;
  save_t5(folder_, model.encoder, model.state);
  const auto loaded = load_t5(folder_, at::kCPU, at::kBFloat16);
  for (const auto& item : loaded.state->items())
    EXPECT_TRUE(at::equal(item.tensor, model.state.get(item.name).to(at::kBFloat16))) << item.name;
}

TEST_F(T5FolderTest, ConfigKeepsEveryValue) {
  T5Config config = tiny_t5();
  config.relative_attention_num_buckets = 18, config.relative_attention_max_distance = 77;
  config.layer_norm_epsilon = 1e-5, config.dtype = "bfloat16";
  write_t5_config(this->config(), config);
  const T5Config back = read_t5_config(this->config());
  EXPECT_EQ(std::tie(back.vocab_size, back.d_model, back.d_kv, back.d_ff, back.num_layers, back.num_heads),
            std::tie(config.vocab_size, config.d_model, config.d_kv, config.d_ff, config.num_layers,
                     config.num_heads));
  EXPECT_EQ(back.relative_attention_num_buckets, 18);
  EXPECT_EQ(back.relative_attention_max_distance, 77);
  EXPECT_EQ(back.layer_norm_epsilon, 1e-5);
  EXPECT_EQ(back.dtype, "bfloat16");
  edit_config({{"torch_dtype", nullptr}, {"dtype", "float16"}});
  EXPECT_EQ(read_t5_config(this->config()).dtype, "float16");
  edit_config({{"dtype", nullptr}, {"layer_norm_epsilon", nullptr}});
  EXPECT_EQ(read_t5_config(this->config()).dtype, "float32");
  EXPECT_EQ(read_t5_config(this->config()).layer_norm_epsilon, 1e-6);
}

TEST_F(T5FolderTest, RefusesWhatIsNotSupportedAllAtOnce) {
  write_t5_config(config(), tiny_t5());
  edit_config({{"feed_forward_proj", "relu"},
               {"model_type", "umt5"},
               {"dense_act_fn", "gelu"},
               {"d_model", 16.5},
               {"num_heads", 0},
               {"d_ff", nullptr},
               {"torch_dtype", "int8"},
               {"relative_attention_num_buckets", 7}});
  const std::string message = message_of([&] { read_t5_config(config()); });
  for (const char* part :
       {"config.json", "8 problems", "feed_forward_proj is \"relu\"; only \"gated-gelu\"",
        "model_type is \"umt5\"; only \"t5\"", "dense_act_fn is \"gelu\"", "d_model is 16.5",
        "num_heads is 0", "d_ff is missing", "torch_dtype is \"int8\"; supported: float32, bfloat16, float16",
        "relative_attention_num_buckets is 7"})
    EXPECT_THAT(message, HasSubstr(part));
  write_t5_config(config(), tiny_t5());
  edit_config({{"feed_forward_proj", nullptr}});  // transformers' default is relu
  EXPECT_THAT(message_of([&] { read_t5_config(config()); }), HasSubstr("feed_forward_proj is missing"));
  std::ofstream(config()) << "[1, 2]";
  EXPECT_THAT(message_of([&] { read_t5_config(config()); }), HasSubstr("not a JSON object"));
}

TEST_F(T5FolderTest, NumbersHaveBounds) {
  const auto refused = [&](const nlohmann::json& changes) {
    write_t5_config(config(), tiny_t5());
    edit_config(changes);
    return message_of([&] { read_t5_config(config()); });
  };
  for (const char* key : {"vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads"})
    for (const nlohmann::json& value : {nlohmann::json(-1), nlohmann::json(int64_t{1} << 31),
                                        nlohmann::json(UINT64_MAX), nlohmann::json(1e308)})
      EXPECT_THAT(refused({{key, value}}), HasSubstr(std::string(key) + " is ")) << value;
  EXPECT_THAT(refused({{"num_layers", 1025}}), HasSubstr("from 1 to 1024"));
  EXPECT_THAT(refused({{"num_heads", 65536}, {"d_kv", 65536}}), HasSubstr("the attention has at most"));
  EXPECT_LT(refused({{"d_ff", std::string(100'000, 'x')}}).size(), 1000U);
}

TEST_F(T5FolderTest, DeepListsAreRefused) {
  std::ofstream(config()) << R"({"d_model": )" << std::string(400'000, '[') << std::string(400'000, ']')
                          << "}";
  EXPECT_THAT(message_of([&] { read_t5_config(config()); }), HasSubstr("nested more than 32 deep"));
}

// The tensors of such a model would take terabytes, of which the file has nothing.
TEST_F(T5FolderTest, SizesAreComparedWithTheWeightsBeforeMemoryIsUsed) {
  TinyT5 model;
  for (const auto& [key, value] : {std::pair{"vocab_size", 1 << 24}, std::pair{"d_model", 65536},
                                   std::pair{"d_ff", 1 << 20}, std::pair{"num_layers", 1024}}) {
    save_t5(folder_, model.encoder, model.state);
    edit_config({{key, value}});
    EXPECT_THAT(message_of([&] { load_t5(folder_, at::kCPU); }), HasSubstr("does not fit the model")) << key;
  }
}

TEST_F(T5FolderTest, AcceptsWholeT5AndTiedCopies) {
  TinyT5 model;
  save_t5(folder_, model.encoder, model.state);
  auto tensors = tensors_of(model.state);
  tensors["encoder.embed_tokens.weight"] = tensors.at("shared.weight").clone();
  tensors["decoder.embed_tokens.weight"] = tensors.at("shared.weight").clone();
  tensors["decoder.block.0.layer.0.SelfAttention.q.weight"] = at::ones({18, 16});
  tensors["lm_head.weight"] = at::ones({50, 16});
  save_tensors(folder_ / "model.safetensors", tensors);
  expect_same(model.state, *load_t5(folder_, at::kCPU).state);

  tensors.erase("shared.weight");  // only under the copy's name
  save_tensors(folder_ / "model.safetensors", tensors);
  expect_same(model.state, *load_t5(folder_, at::kCPU).state);

  tensors["shared.weight"] = at::ones({50, 16});
  save_tensors(folder_ / "model.safetensors", tensors);
  EXPECT_THAT(message_of([&] { load_t5(folder_, at::kCPU); }),
              AllOf(HasSubstr("shared.weight"), HasSubstr("differ")));
}

TEST_F(T5FolderTest, ReportsMissingUnexpectedAndMisshapenWeights) {
  TinyT5 model;
  save_t5(folder_, model.encoder, model.state);
  auto tensors = tensors_of(model.state);
  tensors.erase("encoder.final_layer_norm.weight");
  tensors["encoder.block.0.layer.1.DenseReluDense.wi.weight"] = at::ones({24, 16});
  tensors["encoder.block.1.layer.0.SelfAttention.o.weight"] = at::ones({16, 17});
  save_tensors(folder_ / "model.safetensors", tensors);
  EXPECT_THAT(message_of([&] { load_t5(folder_, at::kCPU); }),
              AllOf(HasSubstr("missing: encoder.final_layer_norm.weight"),
                    HasSubstr("unexpected: encoder.block.0.layer.1.DenseReluDense.wi.weight"),
                    HasSubstr("[16, 17]"), Not(HasSubstr("shared.weight"))));
  std::filesystem::remove(folder_ / "model.safetensors");
  EXPECT_THROW(load_t5(folder_, at::kCPU), UserError);
}

}  // namespace
}  // namespace pixart::models
