#include "judge_setup.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/formats/hash.h"

namespace pixart::caption {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// All files, without the overview of pixart sample.
JudgedImages images_in(const data::Dataset& dataset, const fs::path& path) {
  const bool is_drawn = fs::is_regular_file(path / "sample.json");
  JudgedImages images;
  for (int64_t row = 0; row < dataset.size(); ++row)
    if (std::string key = dataset.key(row); !is_drawn || key != "grid.png")
      images.push_back({row, std::move(key)});
  if (images.empty()) throw UserError(fmt::format("{} holds no images.", path.string()));
  return images;
}

// The caption of an image, or the prompt that pixart sample wrote into it.
std::string prompt_of(const data::Dataset& dataset, const fs::path& folder, const JudgedImage& image) {
  if (std::string caption = dataset.caption(image.row); !caption.empty()) return caption;
  const fs::path file = folder / image.key;
  if (file.extension() != ".png" || !fs::is_regular_file(file)) return {};
  try {
    const auto text = formats::read_png_text(file);
    const auto found = text.find("prompt");
    return found == text.end() ? std::string() : found->second;
  } catch (const UserError&) {  // a damaged image is counted when it is judged
    return {};
  }
}

}  // namespace

JudgeOptions checked(JudgeOptions options) {
  Problems problems;
  const bool is_compbench = options.protocol == JudgeProtocol::kCompBench;
  const auto require = [&](bool good, const char* problem) {
    if (!good) problems.add(problem);
  };
  const bool needs_file =
      options.protocol == JudgeProtocol::kQuestions || options.protocol == JudgeProtocol::kDpg;
  require(!options.images.empty(), "IMAGES, the folder of images, is missing");
  require(!options.endpoint.empty(), "--endpoint is missing, e.g. http://localhost:8080/v1");
  require(!options.model.empty(), "--model, the name of the model at the endpoint, is missing");
  require(!needs_file || !options.questions.empty(), "--questions, the file of questions, is missing");
  require(needs_file || options.questions.empty(), "--questions has no effect with this --protocol");
  require(options.protocol != JudgeProtocol::kDpg || options.parts != 0,
          "--parts is missing: 4 where a file shows four images, as DPG-Bench wants them, otherwise 1");
  require(is_compbench || (options.phrases.empty() && options.benchmark.empty() && options.category.empty()),
          "--phrases, --benchmark and --category need --protocol compbench");
  require(!is_compbench || options.samples == 0, "--samples has no effect with --protocol compbench");
  require(options.parts == 0 || options.parts == 1 || options.parts == 4, "--parts must be 1 or 4");
  require(is_compbench || options.instruction.find("{question}") != std::string::npos ||
              (options.protocol == JudgeProtocol::kPrompt &&
               options.instruction.find("{prompt}") != std::string::npos),
          "--instruction must hold {question} (or {prompt} with --protocol prompts)");
  problems.throw_if_any("pixart judge");
  options.parts = std::max(1, options.parts);
  if (options.out.empty())
    options.out = fs::path(options.images).lexically_normal().filename().string() + "-judged";
  return options;
}

std::vector<std::string> keys_of(const data::Dataset& dataset) {
  std::vector<std::string> keys;
  for (int64_t row = 0; row < dataset.size(); ++row) keys.push_back(dataset.key(row));
  return keys;
}

QuestionSet questions_for(const JudgeOptions& options, const data::Dataset& dataset) {
  const JudgedImages images = images_in(dataset, options.images);
  Problems problems;
  QuestionSet set;
  switch (options.protocol) {
    case JudgeProtocol::kPrompt:
      set = prompt_questions(
          images, [&](const JudgedImage& image) { return prompt_of(dataset, options.images, image); },
          options.parts, problems);
      break;
    case JudgeProtocol::kQuestions:
      set = own_questions(options.questions, images, options.parts, problems);
      break;
    case JudgeProtocol::kGenEval:
      set = geneval_questions(options.images, images, options.parts, problems);
      break;
    case JudgeProtocol::kDpg:
      set = dpg_questions(options.questions, images, options.parts, problems);
      break;
    case JudgeProtocol::kCompBench:
      set = compbench_questions(options, images, problems);
      break;
  }
  problems.throw_if_any("the questions cannot be asked");
  if (set.questions.empty())
    throw UserError("none of the questions is about an image of " + options.images.string() + ".");
  return set;
}

std::string hash_of(const QuestionSet& set, const std::vector<std::string>& keys) {
  formats::Sha256 hash;
  for (const auto& own : set.questions) {
    const json line = {keys[size_t(own.row)], own.part, own.id, own.text, own.opening, own.parents};
    hash.add(line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  }
  return hash.hex();
}

Image part_of(const Image& image, int part, int parts) {
  if (parts == 1) return image;
  const int height = image.height / 2, width = image.width / 2;
  if (height == 0 || width == 0) return image;
  Image result(height, width);
  for (int y = 0; y < height; ++y)
    std::copy_n(image.at(y + part / 2 * height, part % 2 * width), size_t(width) * 3, result.at(y, 0));
  return result;
}

}  // namespace pixart::caption
