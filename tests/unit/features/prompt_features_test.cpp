#include "pixart/features/prompt_features.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pixart/features/file_fingerprint.h"
#include "scratch_folder.h"
#include "spiece_to_json.h"

namespace pixart::features {
namespace {

using nlohmann::json;

class Prompts : public testing::ScratchFolder {
 protected:
  Prompts() {
    run_.run = folder_ / "run";
    run_.text_encoder.max_tokens = 8;
    run_.text_encoder.size.d_model = 32;
    run_.text_encoder.size.num_layers = 1;
    run_.text_encoder.size.num_heads = 2;
    run_.text_encoder.size.d_ff = 1024;  // more than the two ends of a file
    open_caption_encoder(run_, at::kCPU, [] {
      std::vector<std::string> captions;
      for (const char* colour : {"red", "blue", "green", "yellow"})
        for (const char* shape : {"circle", "square", "cross", "star"})
          captions.push_back(fmt::format("a {} {} on a white background", colour, shape));
      return captions;
    });
    run_.text_encoder.path = run_.run / "text_encoder";
  }
  PromptFeatures features(const std::string& cache, uint64_t most_bytes = uint64_t{1} << 30) const {
    const auto folder = cache.empty() ? std::filesystem::path() : folder_ / cache;
    return {std::make_shared<const CaptionEncoder>(run_.text_encoder, std::filesystem::path(), at::kCPU),
            {folder, most_bytes}};
  }
  int64_t num_files() const {
    int64_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_ / "cache")) ++count;
    return count;
  }
  static void expect_same(const EncodedText& a, const EncodedText& b) {
    EXPECT_TRUE(at::equal(a.features, b.features));
    EXPECT_TRUE(at::equal(a.mask, b.mask));
  }
  run::RunConfig run_;
};

TEST_F(Prompts, KeptOnesNeedNoEncoder) {
  auto first = features("cache");
  EXPECT_FALSE(first.has_loaded());
  EXPECT_EQ(first.channels(), 32);
  const auto made = first.encode({"a red circle", "a blue star on a white background"});
  EXPECT_TRUE(first.has_loaded());
  EXPECT_EQ(made.features.sizes(), (std::vector<int64_t>{2, 8, 32}));
  auto second = features("cache");
  expect_same(second.encode({"a red circle", "a blue star on a white background"}), made);
  const auto one = second.encode({"A  RED circle"});
  EXPECT_TRUE(at::equal(one.features[0], made.features[0])) << "the same words after cleaning";
  EXPECT_FALSE(second.has_loaded());
  second.encode({"a green cross"});
  EXPECT_TRUE(second.has_loaded());
  EXPECT_EQ(num_files(), 3);
  auto none = features("");
  EXPECT_TRUE(at::allclose(none.encode({"a red circle"}).features[0], made.features[0], 1e-5, 1e-5));
  EXPECT_TRUE(none.has_loaded());
  EXPECT_EQ(num_files(), 3);
}

// So an image does not depend on what else is drawn, nor on the cache.
TEST_F(Prompts, FeaturesDependNeitherOnTheOthersNorOnTheCache) {
  const std::vector<std::string> prompts = {"a red circle", "a blue star on a white background", "a cross"};
  const auto together = features("").encode(prompts), kept = features("cache").encode(prompts);
  expect_same(kept, together);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto alone = features("").encode({prompts[i]});
    EXPECT_TRUE(at::equal(alone.features[0], together.features[int64_t(i)])) << prompts[i];
  }
}

TEST_F(Prompts, AnotherEncoderOrLengthIsAnotherPrompt) {
  features("cache").encode({"a red circle"});
  run_.text_encoder.max_tokens = 7;
  auto shorter = features("cache");
  shorter.encode({"a red circle"});
  EXPECT_TRUE(shorter.has_loaded());
  write("run/text_encoder/note.txt", "another folder");
  auto other = features("cache");
  other.encode({"a red circle"});
  EXPECT_TRUE(other.has_loaded());
  EXPECT_EQ(num_files(), 3);
}

TEST_F(Prompts, EitherFileOfATokenizerGivesTheSameFeatures) {
  const auto folder = run_.text_encoder.path.value();
  const auto tokenizer_input = [this] {
    const auto inputs = caption_encoder_inputs(run_.text_encoder, {});
    const auto found = std::ranges::find(inputs, "tokenizer", &data::FeatureInput::name);
    return found == inputs.end() ? "not an input" : found->value;
  };
  json file = testing::tokenizer_json(read(folder / "spiece.model"));
  file["pre_tokenizer"]["split"] = false;  // the run's own pieces reach over spaces
  const auto json_file = write("run/text_encoder/tokenizer.json", file.dump());
  EXPECT_EQ(tokenizer_input(), file_fingerprint(folder / "spiece.model"));
  const auto made = features("").encode({"a red circle"});
  std::filesystem::remove(folder / "spiece.model");
  EXPECT_EQ(tokenizer_input(), file_fingerprint(json_file));
  expect_same(features("").encode({"a red circle"}), made);
  std::filesystem::remove(json_file);
  EXPECT_EQ(tokenizer_input(), "none");
}

TEST_F(Prompts, ANamedTokenizerIsNotTrained) {
  const auto named = write("mine.model", read(run_.run / "text_encoder/spiece.model"));
  run::RunConfig other = run_;
  other.run = folder_ / "other";
  other.text_encoder.path = std::nullopt;
  other.text_encoder.tokenizer = named;
  const auto encoder =
      open_caption_encoder(other, at::kCPU, [] { return std::vector<std::string>{"nothing of this"}; });
  EXPECT_EQ(read(other.run / "text_encoder/spiece.model"), read(named));
  const auto first = CaptionEncoder(run_.text_encoder, {}, at::kCPU).tokenize({"a red circle"});
  EXPECT_TRUE(at::equal(encoder.tokenize({"a red circle"}).ids, first.ids));
}

TEST_F(Prompts, ThoseLongestUnusedMakeRoom) {
  features("cache").encode({"a red circle"});
  const uint64_t bytes =
      std::filesystem::file_size(std::filesystem::directory_iterator(folder_ / "cache")->path());
  auto two = features("cache", 2 * bytes + bytes / 2);
  two.encode({"a blue circle"});
  two.encode({"a red circle"});  // used once more
  EXPECT_EQ(num_files(), 2);
  two.encode({"a green circle"});
  EXPECT_EQ(num_files(), 2);
  auto again = features("cache");
  again.encode({"a red circle", "a green circle"});
  EXPECT_FALSE(again.has_loaded());
  again.encode({"a blue circle"});
  EXPECT_TRUE(again.has_loaded());
}

TEST_F(Prompts, FilesOfOthersDoNotMakeRoom) {
  std::filesystem::create_directories(folder_ / "cache");
  write("cache/thesis.safetensors", std::string(1000, 'x'));
  features("cache", 500).encode({"a red circle"});
  EXPECT_TRUE(std::filesystem::exists(folder_ / "cache/thesis.safetensors"));
}

TEST_F(Prompts, ABitInTheMiddleOfTheEncoderIsAnotherEncoder) {
  features("cache").encode({"a red circle"});
  const auto weights = run_.text_encoder.path.value() / "model.safetensors";
  std::string bytes = read(weights);
  constexpr size_t kBothEnds = 2 * (64 << 10);  // which alone would not tell
  ASSERT_GT(bytes.size(), kBothEnds);
  bytes[bytes.size() / 2] = char(bytes[bytes.size() / 2] ^ 1);
  write("run/text_encoder/model.safetensors", bytes);
  auto other = features("cache");
  other.encode({"a red circle"});
  EXPECT_TRUE(other.has_loaded());
  EXPECT_EQ(num_files(), 2);
}

TEST_F(Prompts, DamagedFilesAreMadeAgain) {
  const auto made = features("cache").encode({"a red circle"});
  const auto file = std::filesystem::directory_iterator(folder_ / "cache")->path();
  const std::string whole = read(file);
  std::string changed = whole;
  changed.back() = char(changed.back() ^ 1);
  const size_t middle = whole.size() / 2;
  std::string flipped = whole;
  flipped[middle] = char(flipped[middle] ^ 1);
  for (const std::string& bytes : {std::string(), whole.substr(0, middle), flipped, changed}) {
    write("cache/" + file.filename().string(), bytes);
    auto again = features("cache");
    expect_same(again.encode({"a red circle"}), made);
    EXPECT_TRUE(again.has_loaded());
    EXPECT_EQ(read(file), whole);
  }
}

}  // namespace
}  // namespace pixart::features
