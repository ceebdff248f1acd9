#include "pixart/convert/convert.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "model_files.h"
#include "pixart/base/file.h"
#include "pixart/convert/tensor_map.h"
#include "pixart/formats/hash.h"

namespace pixart::convert {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

OfficialWeights official(const fs::path& path) { return to_official(open_and_identify(path)); }

TEST_F(ModelFiles, WrittenFilesSayWhereTheyComeFrom) {
  const auto source = save<models::Dit>("dit.safetensors", small_dit());
  write_transformer(official(source), folder_ / "out.pth", "how it was done", {});
  const auto again = official(folder_ / "out.pth");
  const auto& metadata = again.weights.metadata;
  const auto parents = nlohmann::json::parse(metadata.at("pixart.parents"));
  EXPECT_EQ(parents.at(0).at("sha256"), formats::sha256_of_file(source));
  EXPECT_EQ(parents.at(0).at("file"), "dit.safetensors");
  EXPECT_EQ(metadata.at("pixart.conversion"), "how it was done");
  EXPECT_THAT(metadata.at("pixart.license"), HasSubstr("CC-BY-NC-4.0"));
  EXPECT_EQ(metadata.at("pixart.format_version"), "1");
  EXPECT_THAT(metadata.at("pixart.producer"), HasSubstr("pixart "));
}

TEST_F(ModelFiles, TheLicenceIsInherited) {
  const auto dit = save<models::Dit>("dit.safetensors", small_dit(), {{"pixart.license", "mine, all mine"}});
  auto target = small_pixart();
  target.input_size = 8, target.position_scale = 1;
  const auto result = reparameterize(official(dit), {.target = target, .options = {}});
  EXPECT_LT(result.proof.difference, 1e-4);
  EXPECT_TRUE(result.proof.holds());
  write_transformer(result.weights, folder_ / "init.safetensors", "re-parameterised", {});
  EXPECT_EQ(official(folder_ / "init.safetensors").license, "mine, all mine");
}

TEST_F(ModelFiles, EveryTensorIsAccountedFor) {
  const auto path = save<models::PixArt>("p.safetensors", small_pixart());
  auto file = formats::load_safetensors(path);
  std::vector<formats::NamedTensor> tensors;
  for (auto& [name, tensor] : file.tensors) {
    if (name == "blocks.1.attn.proj.bias") continue;
    if (name == "t_block.1.bias") tensor = at::zeros({7});
    tensors.push_back({name, tensor});
  }
  tensors.push_back({"blocks.1.attn.projj.bias", at::zeros({2})});
  formats::save_safetensors(path, tensors);
  const std::string message = refusal([&] { official(path); });
  EXPECT_THAT(message, AllOf(HasSubstr("3 problems"), HasSubstr("missing: blocks.1.attn.proj.bias"),
                             HasSubstr("shape: t_block.1.bias"),
                             HasSubstr("unexpected: blocks.1.attn.projj.bias"), HasSubstr("Did you mean")));
}

TEST_F(ModelFiles, CopiesThatDifferAreRefused) {
  const auto path = save<models::Dit>("dit.safetensors", small_dit());
  write_transformer(official(path), folder_ / "d", "", {});
  const fs::path weights = folder_ / "d/diffusion_pytorch_model.safetensors";
  auto file = formats::load_safetensors(weights);
  file.tensors.at("transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias")[0] = 9;
  std::vector<formats::NamedTensor> tensors;
  for (auto& [name, tensor] : file.tensors) tensors.push_back({name, tensor});
  formats::save_safetensors(weights, tensors);
  EXPECT_THAT(refusal([&] { read_all(official(folder_ / "d").weights); }),
              HasSubstr("must have equal values"));
}

TEST_F(ModelFiles, DtypeChangesFloatsOnly) {
  const auto path = save<models::PixArt>("p.safetensors", small_pixart());
  write_transformer(official(path), folder_ / "half.safetensors", "", {.dtype = at::kHalf});
  const auto weights = formats::open_weights(folder_ / "half.safetensors");
  for (const auto& [name, info] : weights.tensors) EXPECT_EQ(info.dtype, at::kHalf) << name;
  EXPECT_TRUE(at::equal(weights.read("t_block.1.bias"),
                        formats::open_weights(path).read("t_block.1.bias").to(at::kHalf)));
}

TEST_F(ModelFiles, FoldersOfSeveralShardsAreReadAgain) {
  const auto path = save<models::PixArt>("p.safetensors", small_pixart());
  write_transformer(official(path), folder_ / "sharded", "", {.shard_bytes = 4 << 20});
  EXPECT_TRUE(fs::exists(folder_ / "sharded/diffusion_pytorch_model.safetensors.index.json"));
  const auto weights = official(folder_ / "sharded").weights;
  const auto original = formats::open_weights(path);
  EXPECT_TRUE(at::equal(weights.read("blocks.1.attn.qkv.weight"), original.read("blocks.1.attn.qkv.weight")));
}

TEST_F(ModelFiles, NothingIsOverwrittenUnasked) {
  const auto path = save<models::Dit>("dit.safetensors", small_dit());
  const auto source = official(path);
  const auto write = [&](const fs::path& target, bool overwrite) {
    return refusal([&] { write_transformer(source, target, "", {.overwrite = overwrite}); });
  };
  EXPECT_THAT(write(path, false), HasSubstr("--overwrite"));
  fs::create_directories(folder_ / "letters");
  std::ofstream(folder_ / "letters/dear.txt") << "do not lose me";
  EXPECT_THAT(write(folder_ / "letters", true), HasSubstr("not replaced"));
  EXPECT_TRUE(fs::exists(folder_ / "letters/dear.txt"));
  EXPECT_THAT(write(folder_ / "no/such/folder.safetensors", false), HasSubstr("does not exist"));
  EXPECT_THAT(refusal([&] { write_transformer(source, folder_ / "p", "", {.pipeline = true}); }),
              HasSubstr("--vae"));
  EXPECT_FALSE(fs::exists(folder_ / "p"));
}

class Overwriting : public ModelFiles {
 protected:
  Overwriting() : dit_(save<models::Dit>("dit.safetensors", small_dit())) {}
  void convert(const fs::path& target) const {
    write_transformer(official(dit_), target, "", {.overwrite = true});
  }
  void put(const std::string& name, const std::string& text = "thesis") const {
    fs::create_directories((folder_ / name).parent_path());
    write(name, text);
  }
  std::vector<std::string> names_in(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / name))
      names.push_back(entry.path().lexically_relative(folder_ / name));
    std::sort(names.begin(), names.end());
    return names;
  }
  fs::path dit_;
};

TEST_F(Overwriting, AProjectIsNoModelFolder) {
  put("proj/config.json", R"({"name": "my web app"})");
  put("proj/.git/HEAD");
  put("proj/src/thesis.tex");
  put("proj/README.md");
  const auto before = names_in("proj");
  EXPECT_THAT(refusal([&] { convert(folder_ / "proj"); }),
              AllOf(HasSubstr(".git/"), HasSubstr("README.md"), HasSubstr("config.json"), HasSubstr("src/"),
                    HasSubstr("not replaced")));
  EXPECT_EQ(names_in("proj"), before);
}

TEST_F(Overwriting, WhatIsNotOfAModelIsNamedAndKept) {
  const std::vector<std::string> foreign = {
      ".git/HEAD",        "README.md",         "notes.json",           ".cache/huggingface/x",
      "firmware.bin",     "my.safetensors",    "transformer/my.tex",   "vae/deep/f",
      "model_index.json", "scheduler/model/f", ".tmp-work/thesis.tex", "unet/config.json",
      "config.json.bak"};
  for (const auto& name : foreign) {
    SCOPED_TRACE(name);
    fs::remove_all(folder_ / "out");
    write_transformer(official(dit_), folder_ / "out", "", {});
    put("out/" + name, "{}");
    const auto before = names_in("out");
    const std::string top = name.substr(0, name.find('/'));
    EXPECT_THAT(refusal([&] { convert(folder_ / "out"); }), HasSubstr(top));
    EXPECT_EQ(names_in("out"), before);
  }
}

TEST_F(Overwriting, NamesOfWeightsProveNothing) {
  const std::string text = "the only copy of a thesis";
  for (const std::string name : {"out/diffusion_pytorch_model.safetensors", "out/pytorch_model.bin",
                                 "out/model.safetensors.index.json", "c.safetensors", "c.pth", "c.pt"}) {
    SCOPED_TRACE(name);
    fs::remove_all(folder_ / "out");
    put(name, text);
    EXPECT_THAT(refusal([&] { convert(folder_ / (name.starts_with("out/") ? "out" : name)); }),
                HasSubstr("not replaced"));
    EXPECT_EQ(read(folder_ / name), text);
  }
  for (const std::string name : {"d.safetensors", "d.pth"}) {
    convert(folder_ / name);
    EXPECT_NO_THROW(convert(folder_ / name)) << name;
    fs::resize_file(folder_ / name, 100);  // damaged, and weights all the same
    EXPECT_NO_THROW(convert(folder_ / name)) << name;
  }
  write("d.pth", std::string("\x80\x02}q", 4));  // as PyTorch wrote them before 1.6
  EXPECT_NO_THROW(convert(folder_ / "d.pth"));
}

TEST_F(Overwriting, AModelAndAPipelineAreReplaced) {
  const std::string t5 = R"({"model_type": "t5"})", vae = R"({"_class_name": "AutoencoderKL"})";
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
           {"model_index.json", R"({"_class_name": "DiTPipeline"})"},
           {"scheduler/scheduler_config.json", R"({"_class_name": "DDIMScheduler"})"},
           {"vae/config.json", vae},
           {"vae/diffusion_pytorch_model.fp16.safetensors", ""},
           {"text_encoder/config.json", t5},
           {"text_encoder/pytorch_model-00001-of-00002.bin", ""},
           {"text_encoder/pytorch_model.bin.index.json", R"({"weight_map": {}})"},
           {"text_encoder/model-00001-of-00002.safetensors", ""},
           {"text_encoder/model.safetensors.index.json", R"({"weight_map": {}})"},
           {"tokenizer/spiece.model", ""},
           {"transformer/config.json", vae}})
    put("out/" + name, text);
  convert(folder_ / "out");
  EXPECT_THAT(names_in("out"),
              UnorderedElementsAre("README.md", "config.json", "diffusion_pytorch_model.safetensors"));
}

TEST_F(Overwriting, LinksAreWrittenThrough) {
  put("real.safetensors", "");
  fs::create_symlink("real.safetensors", folder_ / "link.safetensors");
  convert(folder_ / "link.safetensors");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link.safetensors"));
  EXPECT_FALSE(fs::is_symlink(folder_ / "real.safetensors"));
  EXPECT_NO_THROW(official(folder_ / "real.safetensors"));
  write_transformer(official(dit_), folder_ / "real", "", {});
  put("real/diffusion_pytorch_model.bin", "");
  fs::create_directory_symlink("real", folder_ / "link");
  convert(folder_ / "link/");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(names_in("real").size(), 3u);
  fs::create_symlink("later", folder_ / "dangling");
  convert(folder_ / "dangling");
  EXPECT_TRUE(fs::is_symlink(folder_ / "dangling"));
  EXPECT_EQ(names_in("later").size(), 3u);
  put("real/thesis.tex");
  EXPECT_THAT(refusal([&] { convert(folder_ / "link"); }), HasSubstr("thesis.tex"));
}

TEST_F(Overwriting, LinksInAFolderAreKept) {
  write_transformer(official(dit_), folder_ / "out", "", {});
  put("blob");
  fs::remove(folder_ / "out/config.json");
  fs::create_symlink("../blob", folder_ / "out/config.json");
  EXPECT_THAT(refusal([&] { convert(folder_ / "out"); }), HasSubstr("config.json"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "out/config.json"));
}

TEST_F(Overwriting, AFileAndAFolderDoNotReplaceEachOther) {
  put("thesis");
  EXPECT_THAT(refusal([&] { convert(folder_ / "thesis"); }), HasSubstr("not a folder"));
  EXPECT_EQ(read(folder_ / "thesis"), "thesis");
  write_transformer(official(dit_), folder_ / "out", "", {});
  fs::rename(folder_ / "out", folder_ / "out.safetensors");
  EXPECT_THAT(refusal([&] { convert(folder_ / "out.safetensors"); }), HasSubstr("not a file"));
  EXPECT_EQ(names_in("out.safetensors").size(), 3u);
}

TEST_F(ModelFiles, OtherModelsAreNoTransformers) {
  formats::save_safetensors(folder_ / "x.safetensors", {{"a", at::zeros({2})}});
  EXPECT_THAT(refusal([&] { official(folder_ / "x.safetensors"); }), HasSubstr("not a DiT or PixArt"));
}

TEST_F(ModelFiles, UnusualWidthsNeedTheirHeads) {
  auto config = small_dit();
  config.hidden_size = 24, config.num_heads = 2;
  const auto path = save<models::Dit>("odd.safetensors", config);
  EXPECT_THAT(refusal([&] { official(path); }), HasSubstr("--num-heads"));
}

// A file may claim what its tensors do not bear out; nothing of that size is made.
TEST_F(ModelFiles, ClaimsAboutTheArchitectureAreChecked) {
  const auto claim = [&](const std::string& from, const std::string& to) {
    std::string text = architecture_text(small_pixart());
    text.replace(text.find(from), from.size(), to);
    const auto path = save<models::PixArt>("p.safetensors", small_pixart(), {{"pixart.architecture", text}});
    return refusal([&] { official(path); });
  };
  EXPECT_THAT(claim("\"depth\":2", "\"depth\":9999999"), HasSubstr("9999999 blocks"));
  EXPECT_THAT(claim("\"depth\":2", "\"depth\":3"), HasSubstr("missing: blocks.2."));
  EXPECT_THAT(claim("\"input_size\":16", "\"input_size\":1000000"), HasSubstr("latent side"));
  EXPECT_THAT(claim("\"hidden_size\":384", "\"hidden_size\":9000000"), HasSubstr("width of 9000000"));
  EXPECT_THAT(claim("\"mlp_ratio\":4.0", "\"mlp_ratio\":1e300"), HasSubstr("MLP"));
  EXPECT_THAT(claim("\"num_heads\":6", "\"num_heads\":7"), HasSubstr("7 heads"));
}

}  // namespace
}  // namespace pixart::convert
