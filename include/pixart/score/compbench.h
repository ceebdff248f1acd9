// T2I-CompBench (Huang et al. 2023): images of its prompts, scored with the published arithmetic.
//
//   color, shape, texture  B-VQA: BLIP-VQA is asked "chunk?" for each noun chunk of the prompt; the product of p(yes)
//   spatial                the published rule over boxes of UniDet, which are read from a file
//   non_spatial            cosine of CLIP ViT-B/32
//   complex                3-in-1: the mean of B-VQA with the two others, as the benchmark's lists of prompts say
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/score/vqa.h"
#include "pixart/text/nouns.h"

namespace pixart::score {

enum class CompBenchCategory { kColor, kShape, kTexture, kSpatial, kNonSpatial, kComplex };
inline EnumWords<CompBenchCategory> enum_words(CompBenchCategory) {
  return {{"color", CompBenchCategory::kColor},
          {"shape", CompBenchCategory::kShape},
          {"texture", CompBenchCategory::kTexture},
          {"spatial", CompBenchCategory::kSpatial},
          {"non_spatial", CompBenchCategory::kNonSpatial},
          {"complex", CompBenchCategory::kComplex}};
}

struct CompBenchRequest {
  // A folder with color/samples/PROMPT_000000.png and so on, as `pixart sample --suite` draws it, and as the benchmark's own
  // scripts do.
  std::filesystem::path images = {};
  std::filesystem::path prompts = {};  // the benchmark's folder examples/dataset with color_val.txt and so on
  std::vector<CompBenchCategory> categories = {};  // none: those that have a folder in `images`
  // Of the official chunks: JSON lines with category, prompt and chunks; and if they are known, objects (two nouns) and text
  // (the prompt without adjectives). "": the questions are those of this program.
  std::filesystem::path questions = {};
  std::filesystem::path wordnet = text::wordnet_folder();
  // A folder for text::SpacyTagger, which then finds the objects of spatial and complex prompts and makes the texts of complex
  // ones; "": text::NounChunker does.
  std::filesystem::path tagger = {};
  std::optional<BlipVqaOptions> vqa = {};  // of color, shape, texture and complex
  std::filesystem::path answers =
      {};  // recorded answers in place of the model: JSON lines with image, question, answer
  std::filesystem::path boxes =
      {};  // of spatial and complex: JSON lines with image and objects (label, score, box)
  std::filesystem::path clip = {}, clip_tokenizer = {};  // of non_spatial and complex, as in ScoreRequest
  std::filesystem::path out =
      {};  // results in the benchmark's layout, and what a restart continues from; "": `images`
  int64_t images_per_prompt = 10;
  int64_t batch_size = 16;
  std::string device = "auto";
};

struct CompBenchResult {
  std::vector<std::pair<std::string, double>> values =
      {};  // compbench_color and so on, and the parts of complex
  std::vector<std::string> notes = {};
  std::vector<std::string> table = {};  // lines: this model and published rows
  std::string card = {};                // JSON; see tools/guide/compbench.md
};

// Throws one UserError with every problem of the request, the prompts and the names of the images, before a network runs.
// Answers that were computed are kept in `out`, and are not computed again for the same image, question and model.
CompBenchResult score_compbench(const CompBenchRequest& request);

// One line of a questions file for each prompt of these categories (none: of all files in the folder). `tagger` as in
// CompBenchRequest.
std::string compbench_questions(const std::filesystem::path& prompts,
                                const std::vector<CompBenchCategory>& categories,
                                const std::filesystem::path& wordnet = text::wordnet_folder(),
                                const std::filesystem::path& tagger = {});

}  // namespace pixart::score
