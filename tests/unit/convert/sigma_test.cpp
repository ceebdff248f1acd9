// PixArt-Sigma: recognised under official names and diffusers', converted there and back.
#include <nlohmann/json.hpp>

#include "model_files.h"
#include "pixart/convert/convert.h"
#include "pixart/models/t5.h"

namespace pixart::convert {
namespace {

namespace fs = std::filesystem;
using models::KvSampling;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Tensors = std::map<std::string, at::Tensor>;

class SigmaFiles : public ModelFiles {
 protected:
  void put(const std::string& name, const Tensors& tensors) const {
    std::vector<formats::NamedTensor> list;
    for (const auto& [key, tensor] : tensors) list.push_back({key, tensor});
    formats::save_safetensors(folder_ / name, list);
  }
  fs::path put_without(const std::string& name, const fs::path& source, const std::string& left_out) const {
    auto tensors = formats::load_safetensors(source).tensors;
    EXPECT_EQ(tensors.erase(left_out), 1u);
    put(name, tensors);
    return folder_ / name;
  }

  static void convert(const fs::path& from, const fs::path& to, const TargetOptions& options = {}) {
    write_transformer(to_official(open_and_identify(from)), to, "test", options);
  }

  // A file of the first versions, which knew only one process.
  fs::path save_with_process(const models::PixArtConfig& config) const {
    return save<models::PixArt>("source.safetensors", config, {{"pixart.format_version", "1"}});
  }

  // A folder as diffusers writes it, in `name`/transformer: without this program's metadata and entries.
  fs::path diffusers_folder(const std::string& name, const models::PixArtConfig& config) const {
    const fs::path folder = folder_ / name / "transformer";
    fs::create_directories(folder.parent_path());
    convert(save<models::PixArt>("official.safetensors", config), folder);
    const std::string weights = name + "/transformer/diffusion_pytorch_model.safetensors";
    put(weights, formats::load_safetensors(folder_ / weights).tensors);
    auto json = nlohmann::json::parse(read(folder / "config.json"));
    for (const char* own : {"max_tokens", "multi_scale"}) json.erase(own);
    write(name + "/transformer/config.json", json.dump());
    return folder;
  }
  void say_pipeline(const std::string& name, const std::string& class_name) const {
    write(name + "/model_index.json", nlohmann::json{{"_class_name", class_name}}.dump());
  }

  // The parts of a pipeline that are not the transformer.
  TargetOptions pipeline_parts() const {
    const models::VaeConfig vae{{{8, 8, 8, 8}, 1, 4, 4}};
    nn::StateDict vae_state, t5_state;
    const models::AutoencoderKl autoencoder(nn::Scope(vae_state), vae);
    models::initialize(vae_state, vae, 1);
    models::save_vae(folder_ / "vae", vae, vae_state);
    models::T5Config t5;
    t5.d_model = 12, t5.num_layers = 1, t5.num_heads = 2, t5.d_ff = 16, t5.d_kv = 6, t5.vocab_size = 20;
    const models::T5Encoder encoder(nn::Scope(t5_state), t5);
    models::initialize(t5_state, t5, 1, 1);
    models::save_t5(folder_ / "t5", encoder, t5_state);
    write("t5/spiece.model", "is copied as it is");
    return {.pipeline = true, .text_encoder = folder_ / "t5", .vae = folder_ / "vae"};
  }
};

void expect_equal(const fs::path& got, const fs::path& want, const std::string& left_out = "") {
  const auto a = formats::open_weights(got), b = formats::open_weights(want);
  EXPECT_EQ(a.tensors.size(), b.tensors.size() - (left_out.empty() ? 0 : 1));
  for (const auto& [name, info] : b.tensors) {
    if (name == left_out) continue;
    ASSERT_TRUE(a.tensors.contains(name)) << name;
    EXPECT_TRUE(at::equal(a.read(name), b.read(name))) << name;
  }
}

TEST_F(SigmaFiles, TheNullCaptionTellsIt) {
  const auto sigma = open_and_identify(save<models::PixArt>("s.safetensors", small_sigma())).identity;
  EXPECT_EQ(sigma.layout, Layout::kPixArt);
  EXPECT_EQ(architecture_text(sigma.architecture), architecture_text(small_sigma()));
  EXPECT_THAT(sigma.summary, AllOf(StartsWith("PixArt-Sigma, "), HasSubstr("captions of 300 x 12")));
  EXPECT_THAT(sigma.assumed, ElementsAre(HasSubstr("6 heads")));
  auto alpha = small_sigma();
  alpha.max_tokens = 120, alpha.multi_scale = false;
  const auto other = open_and_identify(save<models::PixArt>("a.safetensors", alpha)).identity;
  EXPECT_EQ(architecture_text(other.architecture), architecture_text(alpha));
  EXPECT_THAT(other.summary, StartsWith("PixArt, "));
}

TEST_F(SigmaFiles, WithoutTheNullCaptionTheHintTellsIt) {
  const auto path = put_without("s.safetensors", save<models::PixArt>("whole.safetensors", small_sigma()),
                                "y_embedder.y_embedding");
  EXPECT_THAT(open_and_identify(path).identity.summary, StartsWith("PixArt, "));
  const auto told = open_and_identify(path, "model", {.max_tokens = models::kSigmaTokens}).identity;
  EXPECT_EQ(architecture_text(told.architecture), architecture_text(small_sigma()));
}

// The positions of any grid depend on side / scale, which is the same for all published sizes.
TEST_F(SigmaFiles, WithoutPositionsTheScaleTellsTheSide) {
  const auto whole = save<models::PixArt>("whole.safetensors", small_sigma());
  const auto path = put_without("s.safetensors", whole, "pos_embed");
  const auto usual = std::get<models::PixArtConfig>(open_and_identify(path).identity.architecture);
  EXPECT_EQ(usual.input_size, 128);
  EXPECT_EQ(usual.position_scale, 2);
  const auto told = to_official(open_and_identify(path, "model", {.position_scale = 0.5}));
  EXPECT_EQ(architecture_text(told.identity.architecture), architecture_text(small_sigma()));
  EXPECT_TRUE(at::equal(told.weights.read("pos_embed"), formats::open_weights(whole).read("pos_embed")));
}

TEST_F(SigmaFiles, CompressedBlocksAreFoundByTheirWeights) {
  for (const int64_t factor : {2, 4}) {
    auto config = compressed_sigma();
    config.kv_compression.factor = factor;
    const auto path = save<models::PixArt>("s.safetensors", config);
    const auto identity = open_and_identify(path).identity;
    EXPECT_EQ(architecture_text(identity.architecture), architecture_text(config));
    EXPECT_THAT(identity.summary,
                AllOf(StartsWith("PixArt-Sigma, "),
                      HasSubstr(fmt::format("KV compression (conv, factor {}) in 1 blocks", factor))));
    EXPECT_NO_THROW(to_official(open_and_identify(path)));
  }
  // A convolution of another size than that of the other blocks.
  auto both = compressed_sigma();
  both.kv_compression.layers = {0, 1};
  auto tensors = formats::load_safetensors(save<models::PixArt>("s.safetensors", both)).tensors;
  tensors.at("blocks.0.attn.sr.weight") = at::ones({384, 1, 4, 4});
  put("s.safetensors", tensors);
  EXPECT_THAT(refusal([&] { to_official(open_and_identify(folder_ / "s.safetensors")); }),
              HasSubstr("shape: blocks.0.attn.sr.weight"));
}

TEST_F(SigmaFiles, CompressionWithoutWeightsIsInTheMetadata) {
  for (const auto sampling : {KvSampling::kUniform, KvSampling::kAverage, KvSampling::kEvery}) {
    auto config = small_sigma();
    config.kv_compression = {.sampling = sampling, .factor = 2, .layers = {0, 1}};
    const std::string text = architecture_text(config);
    const auto parsed = std::get<models::PixArtConfig>(parse_architecture(text, "it"));
    EXPECT_EQ(parsed.kv_compression, config.kv_compression);
    EXPECT_FALSE(parsed.micro_conditions);
    const auto path = save<models::PixArt>("s.safetensors", config, {{"pixart.architecture", text}});
    convert(path, folder_ / "s.pth", {.overwrite = true});
    EXPECT_EQ(architecture_text(open_and_identify(folder_ / "s.pth").identity.architecture), text);
  }
}

TEST_F(SigmaFiles, WrongWordsAboutCompressionAreRefused) {
  const auto claim = [&](const std::string& from, const std::string& to) {
    std::string text = architecture_text(compressed_sigma());
    text.replace(text.find(from), from.size(), to);
    const auto path =
        save<models::PixArt>("s.safetensors", compressed_sigma(), {{"pixart.architecture", text}});
    return refusal([&] { to_official(open_and_identify(path)); });
  };
  EXPECT_THAT(claim("\"conv\"", "\"mean\""), AllOf(HasSubstr("s.safetensors"), HasSubstr("conv, uniform")));
  EXPECT_THAT(claim("\"factor\":2", "\"factor\":0"), HasSubstr("kv_compression"));
  EXPECT_THAT(claim("\"factor\":2", "\"factor\":1000000"),
              HasSubstr("factor is 1000000; expected a whole number from 1 to 32"));
  EXPECT_THAT(claim("\"layers\":[1]", "\"layers\":[9]"), HasSubstr("block 9"));
  EXPECT_THAT(claim("\"layers\":[1]", "\"layers\":1"), HasSubstr("kv_compression"));
  EXPECT_THAT(claim("\"layers\":[1]", "\"layer\":[1]"), HasSubstr("needs layers"));
  EXPECT_THAT(claim("\"kv_compression\":{", "\"kv_compression\":7,\"x\":{"),
              HasSubstr("is not a JSON object"));
}

TEST_F(SigmaFiles, OfficialFilesComeBackBitForBit) {
  for (const auto& config : {small_sigma(), compressed_sigma()}) {
    const auto source = save<models::PixArt>("source.safetensors", config);
    convert(source, folder_ / "a.pth", {.overwrite = true});
    convert(folder_ / "a.pth", folder_ / "b.safetensors", {.overwrite = true});
    convert(folder_ / "b.safetensors", folder_ / "c.pth", {.overwrite = true});
    for (const char* name : {"a.pth", "b.safetensors", "c.pth"}) expect_equal(folder_ / name, source);
  }
  const auto source = save<models::PixArt>("source.safetensors", small_sigma());
  convert(source, folder_ / "diffusers");
  convert(folder_ / "diffusers", folder_ / "back.pth");
  expect_equal(folder_ / "back.pth", source, "y_embedder.y_embedding");
  EXPECT_EQ(architecture_text(open_and_identify(folder_ / "back.pth").identity.architecture),
            architecture_text(small_sigma()));
}

TEST_F(SigmaFiles, DiffusersHasNoCompression) {
  const auto source = save_with_process(compressed_sigma());
  for (const auto& options : {TargetOptions{}, pipeline_parts()})
    EXPECT_THAT(refusal([&] { convert(source, folder_ / "out", options); }),
                AllOf(HasSubstr("source.safetensors has KV compression"), HasSubstr(".safetensors or .pth"),
                      HasSubstr("train a stage without kv_compression")));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(SigmaFiles, APipelineHasTheClassOfItsModel) {
  const auto parts = pipeline_parts();
  auto alpha = small_sigma();
  alpha.max_tokens = 120, alpha.multi_scale = false;
  auto micro = small_sigma();
  micro.micro_conditions = true;
  for (const auto& [config, class_name] :
       {std::pair{small_sigma(), "PixArtSigmaPipeline"}, std::pair{alpha, "PixArtAlphaPipeline"},
        std::pair{micro, "PixArtAlphaPipeline"}}) {
    auto options = parts;
    options.overwrite = true;
    const auto source = save_with_process(config);
    convert(source, folder_ / "out", options);
    const auto index = nlohmann::json::parse(read(folder_ / "out/model_index.json"));
    EXPECT_EQ(index.at("_class_name"), class_name);
    const auto model = nlohmann::json::parse(read(folder_ / "out/transformer/config.json"));
    EXPECT_EQ(model.at("use_additional_conditions"), config.micro_conditions);
    EXPECT_EQ(model.at("interpolation_scale"), 0.5);
    EXPECT_EQ(model.at("sample_size"), 32);
    const auto tokenizer = nlohmann::json::parse(read(folder_ / "out/tokenizer/tokenizer_config.json"));
    EXPECT_EQ(tokenizer.at("model_max_length"), config.max_tokens);
    EXPECT_EQ(architecture_text(open_and_identify(folder_ / "out/transformer").identity.architecture),
              architecture_text(config));
  }
}

TEST_F(SigmaFiles, ThePipelineAroundAFolderTellsItsCaptions) {
  auto config = small_sigma();
  config.input_size = 64, config.position_scale = 1;  // as PixArt-alpha's of 512 pixels
  const auto folder = diffusers_folder("pipe", config);
  const auto identity = [&](const LayoutHints& hints = {}) {
    return open_and_identify(folder, "model", hints).identity;
  };
  const auto tokens = [&](const LayoutHints& hints = {}) {
    return std::get<models::PixArtConfig>(identity(hints).architecture).max_tokens;
  };
  EXPECT_THAT(identity().assumed, ElementsAre(HasSubstr("captions of 120 tokens")));
  EXPECT_EQ(architecture_text(identity({.max_tokens = 300}).architecture), architecture_text(config));
  for (const char* class_name : {"PixArtSigmaPipeline", "PixArtSigmaPAGPipeline"}) {
    say_pipeline("pipe", class_name);
    EXPECT_EQ(architecture_text(identity().architecture), architecture_text(config));
    EXPECT_THAT(identity().summary, StartsWith("PixArt-Sigma, "));
    EXPECT_THAT(identity().assumed, IsEmpty());
    EXPECT_EQ(tokens({.max_tokens = 200}), 200);
  }
  say_pipeline("pipe", "PixArtAlphaPipeline");
  EXPECT_EQ(tokens(), 120);
  EXPECT_THAT(identity().summary, StartsWith("PixArt, "));
  EXPECT_THAT(identity().assumed, IsEmpty());
  write("pipe/model_index.json", "not JSON");
  EXPECT_THAT(identity().assumed, ElementsAre(HasSubstr("captions of 120 tokens")));
}

TEST_F(SigmaFiles, SizesTellALoneFolder) {
  for (const auto& [side, scale] : {std::pair{32, 0.5}, std::pair{128, 2.0}}) {
    auto config = small_sigma();
    config.input_size = side, config.position_scale = scale;
    const auto folder = diffusers_folder(fmt::format("side-{}", side), config);
    const auto identity = open_and_identify(folder).identity;
    EXPECT_EQ(architecture_text(identity.architecture), architecture_text(config));
    EXPECT_THAT(identity.assumed, ElementsAre(HasSubstr("PixArt-Sigma, captions of 300 tokens")));
  }
}

}  // namespace
}  // namespace pixart::convert
