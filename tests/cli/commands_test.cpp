// The commands on a tiny run, as a user would give them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "finished_run.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
namespace fs = std::filesystem;

TEST_F(FinishedRun, TrainsAllStages) {
  ASSERT_EQ(result_.code, 0) << result_.output;
  EXPECT_THAT(result_.output, HasSubstr("re-parameterised from the class-conditional model"));
  for (const char* file :
       {"run/run.yaml", "run/events.jsonl", "run/autoencoder/config.json", "run/text_encoder/spiece.model",
        "run/checkpoints/text/step-00000030/ema.safetensors", "run/samples/text/step-00000030.png",
        "run/samples/autoencoder/step-00000008.png", "run/checkpoints/larger/step-00000006/state.json"})
    EXPECT_TRUE(fs::exists(path(file))) << file;
}

TEST_F(FinishedRun, DeletesNothingOfOthers) {
  ASSERT_EQ(result_.code, 0) << result_.output;
  for (const auto& name : names_of_others()) EXPECT_EQ(text_of(path(name)), "thesis") << name;
}

TEST_F(FinishedRun, WritesOneEventPerStep) {
  std::ifstream stream(path("run/events.jsonl"));
  std::map<std::string, int64_t> last;
  for (std::string line; std::getline(stream, line);) {
    const auto event = nlohmann::json::parse(line);
    EXPECT_EQ(event.at("step").get<int64_t>(), last[event.at("stage")] + 1);
    EXPECT_TRUE(event.at("loss").is_number());
    last[event.at("stage")] = event.at("step");
  }
  EXPECT_EQ(last,
            (std::map<std::string, int64_t>{{"autoencoder", 8}, {"class", 30}, {"text", 30}, {"larger", 6}}));
}

TEST_F(FinishedRun, KeepsTheLastCheckpointsOnly) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path("run/checkpoints/class")))
    names.push_back(entry.path().filename());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("step-00000025", "step-00000030"));
}

TEST_F(FinishedRun, SecondTrainDoesNothing) {
  const auto before = final_hashes(path("run"));
  const auto again = pixart({"train", "run.yaml"});
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("stage text: already finished"));
  EXPECT_EQ(before, final_hashes(path("run")));
}

TEST_F(FinishedRun, ResolvedConfigReadsBack) {
  const auto result = pixart({"train", "run/run.yaml", "--check"});
  EXPECT_EQ(result.code, 0) << result.output;
}

TEST_F(FinishedRun, SamplesImagesAndAGrid) {
  const auto result =
      pixart({"sample", "run", "a red circle on a white background", "a blue cross on a gray background",
              "--count", "2", "--steps", "3", "--out", "pictures"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(files_below(path("pictures")), (std::vector<std::string>{"0000.png", "0001.png", "0002.png",
                                                                     "0003.png", "grid.png", "sample.json"}));
}

TEST_F(FinishedRun, PromptsOfAFile) {
  const std::vector<std::string> wanted = {"a red circle on a white background", "a blue cross",
                                           "a green square", "a red circle"};
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
           {"p.txt",
            "\xEF\xBB\xBF" + wanted[0] + "\r\n\r\n" + wanted[1] + "\n" + wanted[2] + "\n" + wanted[3]},
           {"p.jsonl", "\xEF\xBB\xBF{\"prompt\": \"" + wanted[0] +
                           "\", \"score\": NaN}\r\n\r\n{\"caption\": \"" + wanted[1] +
                           "\"}\n{\"id\": 3, \"text\": [\"" + wanted[2] + "\", \"" + wanted[3] + "\"]}"}}) {
    write_text(path(name), text);
    const auto result = pixart({"sample", "run", "--prompts", name, "--steps", "1", "--out", name + ".d"});
    ASSERT_EQ(result.code, 0) << result.output;
    for (size_t i = 0; i < wanted.size(); ++i)
      EXPECT_EQ(formats::read_png_text(path(fmt::format("{}.d/{:04}.png", name, i))).at("prompt"), wanted[i]);
  }
}

TEST_F(FinishedRun, AnImageIsDrawnOnceMoreFromWhatItSays) {
  const auto made = pixart({"sample", "run", "a red circle on a white background", "a blue <cross>",
                            "--count", "3", "--steps", "3", "--seed", "5", "--negative", "a green square",
                            "--numerics", "exact", "--html", "--out", "first"});
  ASSERT_EQ(made.code, 0) << made.output;
  const auto again = pixart({"sample", "--from-image", "first/0004.png", "--out", "again"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(formats::sha256_of_file(path("first/0004.png")), formats::sha256_of_file(path("again/0000.png")));
  EXPECT_NE(formats::sha256_of_file(path("first/0003.png")), formats::sha256_of_file(path("again/0000.png")));
  const std::string page = text_of(path("first/index.html"));
  EXPECT_THAT(page, HasSubstr("a blue &lt;cross&gt;"));
  EXPECT_THAT(page, HasSubstr("0005.png"));
  EXPECT_THAT(page, HasSubstr("model_sha256"));
  EXPECT_THAT(page, HasSubstr("Content-Security-Policy"));
  const auto other =
      pixart({"sample", "run", "--from-image", "first/0004.png", "--stage", "text", "--out", "other"});
  EXPECT_EQ(other.code, 78) << other.output;
  EXPECT_THAT(other.output, HasSubstr("was made with other weights"));
  const auto nothing = pixart({"sample", "run", "--from-image", "run/samples/text/step-00000030.png"});
  EXPECT_EQ(nothing.code, 78);
  EXPECT_THAT(nothing.output, HasSubstr("only images of pixart sample"));
}

TEST_F(FinishedRun, FeaturesOfPromptsAreKept) {
  const auto kept = path(".cache/pixart/prompts");
  fs::remove_all(kept);
  const auto draw = [](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"sample", "run",        "a Red circle", "a blue cross", "--steps",
                                          "2",      "--negative", "a dot",        "--out",        out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = pixart(arguments);
    EXPECT_EQ(result.code, 0) << result.output;
    return result.output;
  };
  const auto image = [](const std::string& out) { return formats::load_image(path(out + "/0001.png")).rgb; };
  draw("cache0", {"--no-cache"});
  EXPECT_FALSE(fs::exists(kept));
  EXPECT_THAT(draw("cache1", {}), Not(HasSubstr("was not needed")));
  const auto files = files_below(kept);
  ASSERT_EQ(files.size(), 3u);
  // Words that cleaning makes the same are the same prompt.
  EXPECT_THAT(draw("cache2", {"a red circle "}), HasSubstr("the text encoder was not needed"));
  EXPECT_EQ(files_below(kept), files);
  EXPECT_EQ(image("cache1"), image("cache2"));
  write_text(kept / files.front(), "no tensors");
  EXPECT_THAT(draw("cache3", {}), HasSubstr("the features of a prompt are made again"));
  EXPECT_EQ(image("cache1"), image("cache3"));
  EXPECT_THAT(draw("cache4", {}), Not(HasSubstr("made again")));
  fs::remove_all(kept);
  write_text(path(".cache/pixart/prompts"), "no folder");
  EXPECT_THAT(draw("cache5", {}), HasSubstr("the features of a prompt are not cached"));
  EXPECT_EQ(image("cache1"), image("cache5"));
  fs::remove(path(".cache/pixart/prompts"));
}

TEST_F(FinishedRun, SamplesAreTheSameForEveryBatchSize) {
  for (const char* batch : {"1", "8"}) {
    const auto result =
        pixart({"sample", "run", "a red circle on a white background", "--count", "8", "--steps", "3",
                "--numerics", "exact", "--batch", batch, "--out", std::string("exact") + batch});
    ASSERT_EQ(result.code, 0) << result.output;
    const auto near = pixart({"sample", "run", "a red circle on a white background", "--count", "8",
                              "--steps", "3", "--batch", batch, "--out", std::string("near") + batch});
    ASSERT_EQ(near.code, 0) << near.output;
  }
  for (int i = 0; i < 8; ++i) {
    const std::string name = "000" + std::to_string(i) + ".png";
    EXPECT_EQ(formats::sha256_of_file(path("exact1/" + name)),
              formats::sha256_of_file(path("exact8/" + name)));
    const Image one = formats::load_image(path("near1/" + name)),
                eight = formats::load_image(path("near8/" + name));
    ASSERT_EQ(one.rgb.size(), eight.rgb.size());
    for (size_t k = 0; k < one.rgb.size(); ++k) ASSERT_LE(std::abs(one.rgb[k] - eight.rgb[k]), 1);
  }
}

TEST_F(FinishedRun, SamplesFromACheckpointAPipelineFolderAndPlainWeights) {
  const std::string prompt = "a red circle on a white background",
                    step = "run/checkpoints/text/step-00000030";
  ASSERT_EQ(pixart({"convert", step, "diffusers", "--pipeline", "--vae", "run/autoencoder", "--text-encoder",
                    "run/text_encoder"})
                .code,
            0);
  const std::vector<std::vector<std::string>> sources = {
      {"run", "--stage", "text", "--live-weights"},
      {step, "--live-weights"},
      {step + "/model.safetensors", "--vae", "run/autoencoder", "--text-encoder", "run/text_encoder"},
      {step + "/model.safetensors", "--vae", "run/autoencoder", "--text-encoder", "diffusers/text_encoder/"},
      {"diffusers"}};
  for (size_t i = 0; i < sources.size(); ++i) {
    std::vector<std::string> arguments = {"sample"};
    arguments.insert(arguments.end(), sources[i].begin(), sources[i].end());
    const std::string out = "from" + std::to_string(i);
    for (const std::string& more : {std::string("--steps"), std::string("3"), std::string("--guidance"),
                                    std::string("1"), std::string("--out"), out, prompt})
      arguments.push_back(more);
    const auto result = pixart(arguments);
    ASSERT_EQ(result.code, 0) << result.output;
    EXPECT_EQ(formats::load_image(path(out + "/0000.png")).rgb,
              formats::load_image(path("from0/0000.png")).rgb)
        << i;
  }
  const auto alone = pixart({"sample", step + "/model.safetensors", prompt});
  EXPECT_EQ(alone.code, 78);
  EXPECT_THAT(alone.output, HasSubstr("give the folder of an autoencoder with --vae"));
}

TEST_F(FinishedRun, SamplesOtherSizesOfAMultiScaleModel) {
  const auto wide = pixart({"sample", "run", "a red circle on a white background", "--steps", "3", "--height",
                            "32", "--width", "64", "--tile-size", "32", "--out", "wide"});
  ASSERT_EQ(wide.code, 0) << wide.output;
  const Image image = formats::load_image(path("wide/0000.png"));
  EXPECT_EQ(image.height, 32);
  EXPECT_EQ(image.width, 64);
  const auto fixed = pixart({"sample", "run", "--stage", "text", "x", "--height", "32", "--width", "64"});
  EXPECT_EQ(fixed.code, 78);
  EXPECT_THAT(fixed.output, HasSubstr("other sizes need PixArt-MS"));
  const auto aspect = pixart({"sample", "run", "x", "--aspect", "16:9"});
  EXPECT_EQ(aspect.code, 78);
  EXPECT_THAT(aspect.output,
              HasSubstr("--aspect needs a model of one of the resolutions 256, 512, 1024, 2048; this one"));
}

TEST_F(FinishedRun, SamplesClassesAndIddpm) {
  const auto result = pixart({"sample", "run", "red circle", "--stage", "class", "--sampler", "iddpm",
                              "--steps", "4", "--out", "classes"});
  EXPECT_EQ(result.code, 0) << result.output;
}

TEST_F(FinishedRun, EvaluatesScenes) {
  const auto result = pixart({"demo", "score", "run"});
  ASSERT_EQ(result.code, 0) << result.output;
  std::ifstream stream(path("run/score.json"));
  const auto score = nlohmann::json::parse(stream);
  EXPECT_GE(score.at("judge_truth").get<double>(), 97.0);
  for (const char* key : {"background", "color", "shape", "all", "all_heldout"})
    EXPECT_TRUE(score.at("stage2").contains(key)) << key;
  EXPECT_TRUE(score.contains("stage3"));
  EXPECT_GT(score.at("seconds").get<double>(), 0.0);
}

TEST_F(FinishedRun, EvaluateFailsBelowABar) {
  fs::copy(path("run"), path("barred"), fs::copy_options::recursive);
  std::ofstream(path("barred/run.yaml"), std::ios::app) << "";
  std::ifstream stream(path("barred/run.yaml"));
  std::string text((std::istreambuf_iterator<char>(stream)), {});
  const auto at = text.find("\nevaluation:");
  if (at != std::string::npos) text = text.substr(0, at + 1);
  write_text(path("barred/run.yaml"),
             text + "evaluation: {seen: 4, held_out: 4, bars: [{metric: stage2.all, at_least: 100.1}]}\n");
  const auto result = pixart({"demo", "score", "barred"});
  EXPECT_EQ(result.code, 72) << result.output;
  EXPECT_THAT(result.output, HasSubstr("stage2.all is"));
}

TEST_F(FinishedRun, InspectsAndVerifiesACheckpoint) {
  const std::string folder = "run/checkpoints/text/step-00000030";
  const auto result = pixart({"inspect", folder, "--tensors", "--verify"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("blocks.0.cross_attn.kv_linear.weight"));
  EXPECT_THAT(result.output, HasSubstr("checksums agree"));
  const auto json = pixart({"inspect", folder + "/ema.safetensors", "--json"});
  const auto report = nlohmann::json::parse(json.output).at(0);
  EXPECT_EQ(report.at("architecture").at("name"), "PixArt");
  EXPECT_EQ(report.at("license"), "not stated: trained from random weights");
  EXPECT_THAT(report.at("metadata").at("pixart.conversion").get<std::string>(), HasSubstr("reparameterize"));
  EXPECT_THAT(report.at("metadata").at("pixart.parents").get<std::string>(), HasSubstr("ema.safetensors"));
}

TEST_F(FinishedRun, ConvertsToEveryLayoutAndBack) {
  const std::string checkpoint = "run/checkpoints/text/step-00000030";
  ASSERT_EQ(pixart({"convert", checkpoint, "text.pth", "--ema"}).code, 0);
  const auto folder = pixart({"convert", "text.pth", "text-diffusers"});
  ASSERT_EQ(folder.code, 0) << folder.output;
  EXPECT_THAT(folder.output, HasSubstr("y_embedder.y_embedding does not exist in diffusers' layout"));
  EXPECT_TRUE(fs::exists(path("text-diffusers/config.json")));
  const auto back = pixart({"convert", "text-diffusers", "text.safetensors", "--text-encoder",
                            "run/text_encoder", "--max-tokens", "10"});
  ASSERT_EQ(back.code, 0) << back.output;
  const auto listed = [&](const std::string& file) {
    const auto result = pixart({"inspect", file, "--json", "--tensors", "--digests"});
    std::map<std::string, std::string> digests;
    const auto reports = nlohmann::json::parse(result.output);
    for (const auto& tensor : reports.at(0).at("list"))
      digests.emplace(tensor.at("name"), tensor.at("sha256"));
    return digests;
  };
  auto before = listed(checkpoint + "/ema.safetensors"), after = listed("text.safetensors");
  EXPECT_EQ(listed("text.pth"), before);
  EXPECT_EQ(before.erase("y_embedder.y_embedding"), 1u);  // T5 of the empty caption now
  EXPECT_EQ(after.erase("y_embedder.y_embedding"), 1u);
  EXPECT_EQ(after, before);
}

TEST_F(FinishedRun, OverwritingDeletesNoProject) {
  const std::vector<std::string> files = {"proj/.git/HEAD", "proj/src/thesis.tex", "proj/config.json"};
  for (const auto& file : files) {
    fs::create_directories(path(file).parent_path());
    write_text(path(file), R"({"name": "my web app"})");
  }
  const std::string weights = "run/checkpoints/class/step-00000030/ema.safetensors";
  const auto refused = pixart({"convert", weights, "proj", "--overwrite"});
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, AllOf(HasSubstr(".git/"), HasSubstr("config.json"), HasSubstr("src/")));
  for (const auto& file : files) EXPECT_THAT(text_of(path(file)), HasSubstr("my web app"));
  ASSERT_EQ(pixart({"convert", weights, "model"}).code, 0);
  fs::create_directory_symlink("model", path("link"));
  const auto again = pixart({"convert", weights, "link", "--overwrite"});
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_TRUE(fs::is_symlink(path("link")));
}

// `bytes` of a file of weights, with NaN as its last number.
std::string spoiled(std::string bytes) {
  const float nan = std::nanf("");
  std::memcpy(bytes.data() + bytes.size() - sizeof nan, &nan, sizeof nan);
  return bytes;
}

TEST_F(FinishedRun, WeightsThatAreNotFiniteAreNamed) {
  const fs::path stage = path("run/checkpoints/class/step-00000030/ema.safetensors");
  write_text(path("nan.safetensors"), spoiled(text_of(stage)));
  const auto converted = pixart({"convert", "nan.safetensors", "nan-copy.safetensors"});
  EXPECT_EQ(converted.code, 0) << converted.output;
  EXPECT_THAT(converted.output, AllOf(HasSubstr("1 tensor(s) have values that are NaN or infinite"),
                                      HasSubstr("inspect SOURCE --verify")));
  EXPECT_THAT(pixart({"convert", stage.string(), "copy.safetensors"}).output, Not(HasSubstr("NaN")));

  write_text(path("nan-vae.safetensors"),
             spoiled(text_of(path("run/checkpoints/autoencoder/step-00000008/ema.safetensors"))));
  const auto trained = pixart({"train", "run.yaml", "--stage", "autoencoder", "--set", "run=second", "--set",
                               "stages.autoencoder.init={how: copy, from: nan-vae.safetensors}"});
  EXPECT_EQ(trained.code, 78) << trained.output;
  EXPECT_THAT(trained.output, AllOf(HasSubstr("init.from nan-vae.safetensors"), HasSubstr("1 tensor(s)"),
                                    HasSubstr("Nothing was trained"), Not(HasSubstr("memory"))));
  EXPECT_FALSE(fs::exists(path("second/checkpoints/autoencoder/step-00000000")));
}

TEST_F(FinishedRun, NoMetadataControlsTheTerminal) {
  std::string bytes = R"({"__metadata__":{"pixart.license":"MIT \u001b[31mRED\u001b]0;t\u0007\n fake: ok"},)"
                      R"("\u009bname":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const auto size = uint64_t(bytes.size());
  bytes.insert(0, std::string(reinterpret_cast<const char*>(&size), sizeof size));
  write_text(path("escapes.safetensors"), bytes + std::string(4, '\0'));
  for (const char* how : {"--tensors", "--json"}) {
    const auto result = pixart({"inspect", "escapes.safetensors", how});
    EXPECT_THAT(result.output, AllOf(HasSubstr("fake: ok"), Not(HasSubstr("\n fake")), Not(HasSubstr("\x1b")),
                                     Not(HasSubstr("\x07")), Not(HasSubstr("\u009b"))));
  }
}

// A run file of the user with the name of the file that a run writes.
TEST_F(FinishedRun, ARunInTheFolderOfItsRunFileIsRefused) {
  fs::create_directories(path("here"));
  const std::string written = "# my notes\n" + tiny_run_yaml();
  write_text(path("here/run.yaml"), written);
  const auto result =
      run_pixart({"train", "run.yaml", "--set", "run=.", "--stage", "autoencoder"}, path("here"));
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("run.yaml was not written by pixart"), HasSubstr("--set run=FOLDER")));
  EXPECT_EQ(text_of(path("here/run.yaml")), written);
}

TEST_F(FinishedRun, WritesPagesThroughLinks) {
  ASSERT_EQ(pixart({"report", "run", "--out", "page.html"}).code, 0);
  const std::string page = text_of(path("page.html"));
  write_text(path("page.html"), page + "<!-- an older one -->");
  fs::create_symlink("page.html", path("link.html"));
  const auto result = pixart({"report", "run", "--out", "link.html"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_TRUE(fs::is_symlink(path("link.html")));
  EXPECT_THAT(text_of(path("page.html")), AllOf(HasSubstr("<html"), Not(HasSubstr("an older one"))));
}

TEST_F(FinishedRun, ConvertsAWholePipeline) {
  const auto result =
      pixart({"convert", "run/checkpoints/text/step-00000030", "pipeline", "--pipeline", "--vae",
              "run/autoencoder", "--text-encoder", "run/text_encoder", "--dtype", "bfloat16"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(files_below(path("pipeline")),
              ElementsAre("README.md", "model_index.json", MatchesRegex("samples/sample-[0-9a-f]{16}\\.png"),
                          "scheduler/scheduler_config.json", "text_encoder/config.json",
                          "text_encoder/model.safetensors", "tokenizer/special_tokens_map.json",
                          "tokenizer/spiece.model", "tokenizer/tokenizer_config.json",
                          "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors",
                          "vae/config.json", "vae/diffusion_pytorch_model.safetensors"));
  EXPECT_THAT(result.output,
              HasSubstr(R"(DiffusionPipeline.from_pretrained("pipeline", dtype=torch.bfloat16))"));
  const auto again = pixart({"convert", "run/checkpoints/text/step-00000030", "second-pipeline", "--pipeline",
                             "--vae", "run/autoencoder", "--text-encoder", "pipeline/text_encoder"});
  ASSERT_EQ(again.code, 0) << again.output;  // the tokenizer of a pipeline is in another folder
  EXPECT_TRUE(fs::exists(path("second-pipeline/tokenizer/spiece.model")));
  fs::create_directory(path("words"));
  write_text(path("words/tokenizer.json"), "{}");  // is copied as it is
  const auto third =
      pixart({"convert", "run/checkpoints/text/step-00000030", "third-pipeline", "--pipeline", "--vae",
              "run/autoencoder", "--text-encoder", "run/text_encoder", "--tokenizer", "words"});
  ASSERT_EQ(third.code, 0) << third.output;
  EXPECT_TRUE(fs::exists(path("third-pipeline/tokenizer/tokenizer.json")));
  EXPECT_FALSE(fs::exists(path("third-pipeline/tokenizer/spiece.model")));
  EXPECT_THAT(text_of(path("third-pipeline/model_index.json")), HasSubstr("T5TokenizerFast"));
  const auto inspected = pixart({"inspect", "pipeline", "--verify"});
  EXPECT_EQ(inspected.code, 0) << inspected.output;
  for (const char* text : {"PixArt (diffusers)", "AutoencoderKL (diffusers)", "T5 (Hugging Face)", "BF16"})
    EXPECT_THAT(inspected.output, HasSubstr(text));
}

TEST_F(FinishedRun, AModelCardSaysWhatTheRunSays) {
  const std::vector<std::string> command = {"convert", "run/checkpoints/text/step-00000030/ema.safetensors",
                                            "carded"};
  const std::string score =
      R"({"kind":"pixart score, 1","scores":{"fid":12.5},"protocol":{"resize":"<b>|x"},"machine":{}})";
  write_text(path("score.json"), score);
  auto whole = command;
  whole.insert(whole.end(),
               {"--score", "score.json", "--base-model", "someone/a-model", "--license", "Apache-2.0"});
  const auto result = pixart(whole);
  ASSERT_EQ(result.code, 0) << result.output;
  const std::string card = text_of(path("carded/README.md"));
  for (const char* text :
       {"license: apache-2.0\n", "library_name: diffusers\n", "pipeline_tag: text-to-image\n",
        "base_model: \"someone/a-model\"\n", "# run, stage text", "### Stage text", "| resolution | 32 |",
        "| steps | 30 |", "| fid | 12.5 |", "&lt;b&gt;\\|x", "PixArtTransformer2DModel.from_pretrained",
        "![sample image 1](samples/sample-", "ema.safetensors"})
    EXPECT_THAT(card, HasSubstr(text));
  EXPECT_EQ(pixart({command[0], command[1], command[2], "--overwrite"}).code, 0)
      << "its own card is replaced";
  write_text(path("carded/README.md"), card + "my words\n");
  const auto kept = pixart({command[0], command[1], command[2], "--overwrite"});
  EXPECT_EQ(kept.code, 78) << kept.output;
  EXPECT_THAT(kept.output, HasSubstr("README.md"));
  EXPECT_EQ(text_of(path("carded/README.md")), card + "my words\n");
  const auto changed = pixart({"convert", "run/checkpoints/class/step-00000030", "changed",
                               "--reparameterize", "--caption-channels", "32"});
  ASSERT_EQ(changed.code, 0) << changed.output;
  EXPECT_FALSE(fs::exists(path("changed/samples"))) << "images of another model";
  write_text(path("words.jpg"), "words");
  const auto words = pixart({command[0], command[1], "worded", "--card-image", "words.jpg"});
  EXPECT_EQ(words.code, 78) << words.output;
  EXPECT_THAT(words.output, HasSubstr("words.jpg is not a PNG, JPEG or WebP image"));
  const auto file = pixart({command[0], command[1], "x.safetensors", "--score", "score.json"});
  EXPECT_EQ(file.code, 78) << file.output;
  EXPECT_THAT(file.output, HasSubstr("for the model card of a folder"));
}

TEST_F(FinishedRun, ConvertsAPixArtSigmaToItsOwnPipeline) {
  const auto made = pixart({"convert", "run/checkpoints/class/step-00000030", "sigma.safetensors",
                            "--reparameterize", "--caption-channels", "32", "--max-tokens", "300"});
  ASSERT_EQ(made.code, 0) << made.output;
  const auto pipeline = pixart({"convert", "sigma.safetensors", "sigma", "--pipeline", "--vae",
                                "run/autoencoder", "--text-encoder", "run/text_encoder"});
  ASSERT_EQ(pipeline.code, 0) << pipeline.output;
  EXPECT_THAT(text_of(path("sigma/model_index.json")), HasSubstr("PixArtSigmaPipeline"));
  for (const char* file : {"sigma.safetensors", "sigma/transformer"})
    EXPECT_THAT(pixart({"inspect", file}).output,
                AllOf(HasSubstr("PixArt-Sigma, depth 2"), HasSubstr("captions of 300 x 32")));
  const auto tall = pixart({"sample", "sigma", "a red circle on a white background", "--steps", "1",
                            "--height", "64", "--width", "32", "--out", "tall"});
  ASSERT_EQ(tall.code, 0) << tall.output;
  EXPECT_EQ(formats::load_image(path("tall/0000.png")).height, 64);
}

TEST_F(FinishedRun, ReparameterizesWithPlanAndProof) {
  const auto result = pixart({"convert", "run/checkpoints/class/step-00000030", "init.safetensors",
                              "--reparameterize", "--image-size", "64", "--caption-channels", "32",
                              "--max-tokens", "10", "--license", "nobody's"});
  ASSERT_EQ(result.code, 0) << result.output;
  for (const char* text :
       {"copied   blocks.0.attn.qkv.weight", "derived  blocks.1.scale_shift_table",
        "new      y_embedder.y_proj.fc1.weight", "dropped  blocks.0.adaLN_modulation.1.weight",
        "proof: at t = 500", "licence: nobody's"})
    EXPECT_THAT(result.output, HasSubstr(text));
  const std::string run =
      replaced(tiny_run_yaml(), "{how: reparameterize, from: class}", "{how: copy, from: init.safetensors}");
  write_text(path("from-init.yaml"), replaced(run, "run: run", "run: from-init"));
  std::vector<std::string> train = {"train", "from-init.yaml"};
  for (const char* stage : {"autoencoder", "class", "text", "larger"})
    train.insert(train.end(), {"--set", fmt::format("stages.{}.steps=1", stage)});
  const auto trained = pixart(train);
  EXPECT_EQ(trained.code, 0) << trained.output;
}

TEST_F(FinishedRun, DamagedCheckpointIsNoticedAndThePreviousUsed) {
  fs::copy(path("run"), path("damaged"), fs::copy_options::recursive);
  const fs::path file = path("damaged/checkpoints/larger/step-00000006/model.safetensors");
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(-5, std::ios::end);
  stream.put('\x55');
  stream.close();
  const auto inspected = pixart({"inspect", file.parent_path().string(), "--verify"});
  EXPECT_EQ(inspected.code, 78);
  EXPECT_THAT(inspected.output, HasSubstr("model.safetensors was changed"));
  const auto trained = pixart({"train", "run.yaml", "--set", "run=damaged"});
  EXPECT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output, HasSubstr("Falling back"));
  EXPECT_EQ(final_hashes(path("run")), final_hashes(path("damaged")));
}

}  // namespace
}  // namespace pixart::testing
