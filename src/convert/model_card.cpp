#include "pixart/convert/model_card.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "hub_license.h"
#include "markdown.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/version.h"
#include "pixart/base/words.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"
#include "provenance_keys.h"

namespace pixart::convert {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::string_view kMark = "<!-- model card of pixart, SHA-256 of the text above: ",
                           kMarkEnd = " -->\n";
constexpr uint64_t kLargestCard = uint64_t{4} << 20;
constexpr const char *kNotKnown = "not known", *kPrediction = "prediction";
constexpr size_t kHexOfSample = 16;

std::string value_of(const CardMetadata& metadata, const char* key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

std::string or_not_known(const std::string& text) { return text.empty() ? kNotKnown : text; }

std::string front_matter(const CardModel& model, const CardFacts& facts) {
  std::string text =
      "---\n" + hub_license(value_of(model.metadata, kLicenseKey)) + "library_name: diffusers\n";
  if (model.draws_captions) text += "pipeline_tag: text-to-image\n";
  if (!facts.base_model.empty()) text += "base_model: " + yaml_text(facts.base_model) + "\n";
  text += "tags:\n- pixart\n- diffusion\n";
  if (model.draws_captions) text += "- text-to-image\n";
  if (model.subject == CardSubject::kAdapters) text += "- lora\n- peft\n";
  if (model.subject == CardSubject::kAutoencoder) text += "- autoencoder\n";
  return text + "---\n\n";
}

const char* subject_text(CardSubject subject) {
  switch (subject) {
    case CardSubject::kPipeline:
      return "A pipeline";
    case CardSubject::kTransformer:
      return "A transformer";
    case CardSubject::kAutoencoder:
      return "An autoencoder";
    default:
      return "LoRA adapters";
  }
}

std::string heading(const CardModel& model, const CardFacts& facts) {
  std::string title = facts.run_name;
  if (!facts.run_name.empty() && !facts.stages.empty()) title += ", stage " + facts.stages.back().name;
  if (title.empty()) title = subject_text(model.subject);
  std::string text = "# " + markdown(title) + "\n\n" + subject_text(model.subject) + " for diffusers";
  if (!model.summary.empty()) text += ": " + markdown(model.summary);
  return text + ". Written by " + markdown(producer()) + ".\n\n";
}

std::string code_of(const CardModel& model) {
  const std::string folder = "\"path/to/this/folder\"", type = "torch." + model.dtype;
  const std::string load = model.python_class + ".from_pretrained(" + folder + ", torch_dtype=" + type + ")";
  switch (model.subject) {
    case CardSubject::kPipeline:
      return "import torch\nfrom diffusers import DiffusionPipeline\n\n"
             "pipeline = DiffusionPipeline.from_pretrained(" +
             folder + ", torch_dtype=" + type + ")\n" +
             (model.draws_captions ? "image = pipeline(\"a red circle on a white background\").images[0]"
                                   : "image = pipeline(class_labels=[0]).images[0]");
    case CardSubject::kAdapters:
      return "import peft\n\n"
             "# `pipeline` has the transformer for which the adapters were trained.\n"
             "pipeline.transformer = peft.PeftModel.from_pretrained(pipeline.transformer, " +
             folder + ")";
    default:
      return "import torch\nfrom diffusers import " + model.python_class + "\n\nmodel = " + load;
  }
}

std::string use_section(const CardModel& model) {
  return "## Use\n\n```python\n" + code_of(model) + "\n```\n\n" +
         (model.subject == CardSubject::kAdapters
              ? ""
              : "Newer versions of diffusers call `torch_dtype` `dtype`.\n\n");
}

// {"prediction":"v","zero_terminal_snr":true} as "v, zero_terminal_snr: true".
std::string process_words(const std::string& text) {
  const auto process = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!process.is_object()) return kNotKnown;
  std::vector<std::string> parts;
  for (const auto& [key, value] : process.items()) {
    const std::string word = value.is_string() ? value.get<std::string>() : value.dump();
    if (key == kPrediction)
      parts.insert(parts.begin(), word);
    else
      parts.push_back(key + ": " + word);
  }
  return join(parts, ", ");
}

std::string training_section(const CardModel& model, const CardFacts& facts) {
  std::string text = "## Training\n\n";
  if (model.subject != CardSubject::kAutoencoder)
    text += "What the model predicts: " + markdown(process_words(value_of(model.metadata, kProcessKey))) +
            ".\n\n";
  if (facts.stages.empty())
    return text + "The settings of the training are not known: the weights are not of a run folder.\n\n";
  for (const auto& stage : facts.stages) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, value] : stage.settings) rows.push_back({name, value});
    text += "### Stage " + markdown(stage.name) + "\n\n" + markdown_table({"setting", "value"}, rows) + "\n";
  }
  return text;
}

std::string count_text(std::optional<int64_t> count) { return count ? with_thousands(*count) : kNotKnown; }

std::string data_section(const CardFacts& facts) {
  std::string text = "## Data\n\n";
  if (facts.sources.empty()) return text + "The data of the training are not known.\n\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& source : facts.sources) {
    const bool adds_up = source.rows && *source.rows >= source.rejected;
    rows.push_back({source.name, count_text(source.rows),
                    adds_up ? with_thousands(*source.rows - source.rejected) : kNotKnown,
                    with_thousands(source.rejected), source.why});
  }
  return text + markdown_table({"source", "rows", "accepted", "rejected", "why"}, rows) + "\n";
}

// The files in the metadata, with their hashes.
std::string parents_table(const CardMetadata& metadata) {
  const auto parents = json::parse(value_of(metadata, kParentsKey), nullptr, /*allow_exceptions=*/false);
  if (!parents.is_array() || parents.empty()) return "";
  std::string table = "| made from | SHA-256 |\n| --- | --- |\n";
  const auto text_in = [](const json& object, const char* key) {
    return object.is_object() && object.contains(key) && object[key].is_string()
               ? object[key].get<std::string>()
               : std::string(kNotKnown);
  };
  for (const auto& parent : parents)
    table += "| " + markdown_code(text_in(parent, "file")) + " | " +
             markdown_code(text_in(parent, "sha256")) + " |\n";
  return table + "\n";
}

std::string origin_of(const CardMetadata& metadata) {
  return markdown(or_not_known(value_of(metadata, kConversionKey))) +
         ". Licence as stated: " + markdown(or_not_known(value_of(metadata, kLicenseKey))) + ".\n\n" +
         parents_table(metadata);
}

std::string license_section(const CardModel& model) {
  std::string text =
      "## Licence and origin\n\nLicence: " + markdown(or_not_known(value_of(model.metadata, kLicenseKey))) +
      "\n\nThese weights: " + origin_of(model.metadata);
  if (value_of(model.of_source, kProducerKey).empty())
    text += "Where the files come from that they were made from is not known: those files do not say it.\n\n";
  else
    text += "The files that they were made from: " + origin_of(model.of_source);
  for (const auto& [name, metadata] : model.parts)
    text += "The part " + markdown(name) + ": " + origin_of(metadata);
  return text;
}

std::string number_words(double value) { return fmt::format("{:.6g}", value); }

std::string scores_section(const CardFacts& facts) {
  std::string text = "## Scores\n\n";
  if (facts.scores.empty()) return text + "No scores are known.\n\n";
  text += "Scores compare only with those of the same protocol.\n\n";
  for (const auto& score : facts.scores) {
    std::vector<std::vector<std::string>> rows, protocol;
    for (const auto& [name, value] : score.values) rows.push_back({name, number_words(value)});
    for (const auto& [name, value] : score.protocol) protocol.push_back({name, value});
    text += "### " + markdown(score.name) + "\n\n" + markdown_table({"score", "value"}, rows) + "\n" +
            (protocol.empty() ? "" : markdown_table({"protocol", ""}, protocol) + "\n");
  }
  return text;
}

std::string samples_section(const CardFacts& facts, const std::vector<std::string>& samples) {
  if (samples.empty()) return "";
  std::string text = "## Sample images\n\n";
  for (size_t i = 0; i < samples.size(); ++i) {
    const std::string caption = markdown(or_not_known(facts.samples[i].text));
    text +=
        "![sample image " + std::to_string(i + 1) + "](" + samples[i] + ")\n\nPrompts: " + caption + "\n\n";
  }
  return text;
}

std::string extension_of(const fs::path& file) {
  const std::string extension = ascii_lower(file.extension().string());
  const bool is_known =
      extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp";
  if (!is_known)
    throw UserError(
        fmt::format("{} is not a .png, .jpg or .webp file: a model card shows no other.", file.string()));
  return extension;
}

// Returns the path in the folder, which holds the hash of the bytes.
std::string copy_sample(const fs::path& folder, const fs::path& file) {
  const std::string extension = extension_of(file), bytes = read_file(file, kLargestCardSample);
  const std::string name = "samples/sample-" + formats::sha256(bytes).substr(0, kHexOfSample) + extension;
  create_folders(folder / "samples");
  write_file_atomically(folder / name, bytes);
  return name;
}

}  // namespace

std::string model_card(const CardModel& model, const CardFacts& facts,
                       const std::vector<std::string>& samples) {
  std::string text = front_matter(model, facts) + heading(model, facts) + samples_section(facts, samples) +
                     use_section(model) + training_section(model, facts) + data_section(facts) +
                     scores_section(facts) + license_section(model);
  text += std::string(kMark) + formats::sha256(text) + std::string(kMarkEnd);
  return text;
}

void write_model_card(const fs::path& folder, const CardModel& model, const CardFacts& facts) {
  if (facts.samples.size() > kMostCardSamples)
    throw UserError(fmt::format("{} sample images: a model card has at most {}.", facts.samples.size(),
                                kMostCardSamples));
  std::vector<std::string> samples;
  for (const auto& sample : facts.samples) samples.push_back(copy_sample(folder, sample.file));
  write_file_atomically(folder / "README.md", model_card(model, facts, samples));
}

void check_card_sample(const fs::path& file) {
  static const std::set<std::string_view> shown = {"png", "jpg", "webp"};
  (void)extension_of(file);
  if (shown.count(formats::image_ending(read_file(file, kLargestCardSample))) == 0)
    throw UserError(
        fmt::format("{} is not a PNG, JPEG or WebP image: a model card shows no other.", file.string()));
}

bool is_own_card(const std::string& text) {
  const size_t at = text.rfind(kMark);
  if (at == std::string::npos || text.size() > kLargestCard) return false;
  return text.substr(at) == std::string(kMark) + formats::sha256(text.substr(0, at)) + std::string(kMarkEnd);
}

bool is_own_sample(const fs::path& file) {
  static const std::regex pattern("sample-([0-9a-f]{16})\\.(png|jpg|jpeg|webp)");
  std::smatch match;
  std::error_code error;
  const std::string name = file.filename().string();
  if (!std::regex_match(name, match, pattern) || fs::file_size(file, error) > kLargestCardSample || error)
    return false;
  return formats::sha256_of_file(file).starts_with(match[1].str());
}

void check_hub_name(const std::string& name) {
  static const std::regex pattern("[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*");
  if (!std::regex_match(name, pattern))
    throw UserError(fmt::format("'{}' is not the name of a model on the Hub (owner/name).", name));
}

}  // namespace pixart::convert
