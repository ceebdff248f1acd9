#include "compbench_inputs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "pixart/base/file.h"
#include "pixart/base/names.h"
#include "pixart/base/print.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"
#include "pixart/formats/hash.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestPrompts = uint64_t{16} << 20;
constexpr size_t kMostPrompts = 100'000;
constexpr size_t kMostBoxes = 10'000;  // of one image
constexpr const char* kSamples = "samples";

fs::path prompts_file(const fs::path& folder, const std::string& category) {
  return folder / (category + "_val.txt");
}

std::vector<std::string> lines_of_file(const fs::path& file, Problems& problems) {
  try {
    const std::string text = read_file(file, kLargestPrompts);
    refuse_utf16(text, file.string());
    return lines_of(text);
  } catch (const UserError& failure) {
    problems.add(failure.what());
    return {};
  }
}

std::set<std::string> comparable_prompts(const fs::path& file, Problems& problems) {
  std::set<std::string> prompts;
  for (const auto& line : lines_of_file(file, problems))
    if (!line.empty()) prompts.insert(comparable_prompt(line));
  return prompts;
}

// 3_in_1.py looks into the list of spatial prompts first.
void read_kinds(const fs::path& folder, CategoryPrompts& prompts, Problems& problems) {
  const auto spatial = comparable_prompts(folder / "complex_val_spatial.txt", problems),
             action = comparable_prompts(folder / "complex_val_action.txt", problems);
  for (const auto& prompt : prompts.prompts) {
    const std::string text = comparable_prompt(prompt);
    prompts.kinds.push_back(spatial.contains(text)  ? ComplexKind::kSpatial
                            : action.contains(text) ? ComplexKind::kAction
                                                    : ComplexKind::kBoth);
  }
}

}  // namespace

std::vector<CompBenchCategory> chosen_categories(const CompBenchRequest& request, Problems& problems) {
  if (!request.categories.empty()) return request.categories;
  std::vector<CompBenchCategory> found;
  std::error_code error;
  for (const auto& [word, category] : enum_words(CompBenchCategory{}))
    if (fs::is_directory(request.images / word / kSamples, error)) found.push_back(category);
  if (found.empty())
    problems.add(
        fmt::format("{} has none of the folders {}, each with {}/ in it; `pixart sample --suite` makes them",
                    request.images.string(), join(words_of_enum<CompBenchCategory>(), ", "), kSamples));
  return found;
}

CategoryPrompts read_category(const fs::path& folder, CompBenchCategory category, Problems& problems) {
  CategoryPrompts prompts{.category = category};
  const fs::path file = prompts_file(folder, word_of(category));
  for (const auto& line : lines_of_file(file, problems)) {
    const std::string prompt = trimmed(line.substr(0, line.find('\t')));
    if (!prompt.empty()) prompts.prompts.push_back(prompt);
  }
  if (prompts.prompts.size() > kMostPrompts)
    problems.add(fmt::format("{} has {} prompts; at most {} are read", file.string(), prompts.prompts.size(),
                             kMostPrompts));
  formats::Sha256 hash;
  for (const auto& prompt : prompts.prompts) hash.add(prompt + "\n");
  prompts.sha256 = hash.hex();
  if (category == CompBenchCategory::kComplex) read_kinds(folder, prompts, problems);
  return prompts;
}

namespace {

// "PROMPT_000012.png"
struct ImageName {
  std::string prompt = {};
  int64_t number = -1;  // -1: it has none
};

ImageName parse_name(const fs::path& file) {
  const std::string stem = file.stem().string();
  ImageName name{.prompt = stem.substr(0, stem.find('_'))};
  const size_t bar = stem.rfind('_');
  if (bar == std::string::npos) return name;
  int64_t number = -1;
  const char* end = stem.data() + stem.size();
  const auto [last, error] = std::from_chars(stem.data() + bar + 1, end, number);
  if (error == std::errc() && last == end && number >= 0) name.number = number;
  return name;
}

bool is_image(const fs::path& file) {
  return contains(std::vector<std::string>{".png", ".jpg", ".jpeg", ".webp", ".bmp"},
                  ascii_lower(file.extension().string()));
}

std::vector<fs::path> images_in(const fs::path& folder, Problems& problems) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (is_image(at->path()) && !at->path().filename().string().starts_with('.')) files.push_back(at->path());
  if (error) problems.add(fmt::format("cannot list {}: {}", folder.string(), error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

// Names cannot have a slash, and some programs leave out the dot at the end.
bool is_name_of(const std::string& name, const std::string& prompt) {
  const auto bare = [](const std::string& text) { return trimmed(text.substr(0, text.find('_')), " ."); };
  return bare(name) == bare(prompt);
}

void add_names(const std::string& what, const std::vector<std::string>& names, Problems& problems) {
  if (!names.empty()) problems.add(fmt::format("{}: {}", what, name_some(names)));
}

}  // namespace

void find_images(const fs::path& folder, int64_t images_per_prompt, CategoryPrompts& prompts,
                 Problems& problems) {
  const fs::path samples = folder / word_of(prompts.category) / kSamples;
  const size_t wanted = prompts.prompts.size() * size_t(images_per_prompt);
  prompts.images.assign(wanted, {});
  std::vector<std::string> strangers, others, doubled, missing;
  for (const auto& file : images_in(samples, problems)) {
    const auto name = parse_name(file);
    if (name.number < 0 || size_t(name.number) >= wanted)
      strangers.push_back(file.filename().string());
    else if (const auto& prompt = prompts.prompts[size_t(name.number / images_per_prompt)];
             !is_name_of(name.prompt, prompt))
      others.push_back(fmt::format("{} (its number belongs to \"{}\")", file.filename().string(), prompt));
    else if (!prompts.images[size_t(name.number)].empty())
      doubled.push_back(file.filename().string());
    else
      prompts.images[size_t(name.number)] = file;
  }
  for (size_t i = 0; i < wanted; ++i)
    if (prompts.images[i].empty())
      missing.push_back(fmt::format("{}_{:06}.png", prompts.prompts[i / size_t(images_per_prompt)], i));
  const std::string at = samples.string();
  add_names(fmt::format("{} has {} images without a number below {} ({} prompts, {} images of each)", at,
                        strangers.size(), wanted, prompts.prompts.size(), images_per_prompt),
            strangers, problems);
  add_names(fmt::format("{} has {} images with another prompt ({} of each are expected)", at, others.size(),
                        images_per_prompt),
            others, problems);
  add_names(fmt::format("{} has {} images with a number that another one has", at, doubled.size()), doubled,
            problems);
  if (others.empty())
    add_names(fmt::format("{} lacks {} of {} images", at, missing.size(), wanted), missing, problems);
}

namespace {

// What the spatial rule asks of words.
std::vector<text::PromptWord> nouns_among(const std::vector<text::TaggedWord>& tagged) {
  std::vector<text::PromptWord> words;
  for (const auto& word : tagged)
    words.push_back({.text = word.text,
                     .begin = word.begin,
                     .word_class = word.part == "NOUN"    ? text::WordClass::kNoun
                                   : word.part == "PROPN" ? text::WordClass::kProperNoun
                                                          : text::WordClass::kOther});
  return words;
}

}  // namespace

void fill_parts(const text::NounChunker& chunker, const text::SpacyTagger* tagger, CategoryPrompts& prompts) {
  const bool is_complex = prompts.category == CompBenchCategory::kComplex;
  const bool is_tagged = tagger != nullptr && (is_complex || prompts.category == CompBenchCategory::kSpatial);
  for (const auto& prompt : prompts.prompts) {
    const auto tagged = is_tagged ? tagger->words(prompt) : std::vector<text::TaggedWord>();
    const auto words = is_tagged ? nouns_among(tagged) : chunker.words(prompt);
    prompts.parts.push_back(
        {.questions = questions_of(chunker.chunks(prompt)),
         .objects = is_complex ? objects_around_relation(prompt, words) : objects_of(words),
         .text = !is_complex ? prompt
                 : is_tagged ? text::without_adjectives(tagged)
                             : chunker.without_adjectives(prompt)});
  }
}

namespace {

std::string place_of(const fs::path& file, const data::TableRow& row) {
  return fmt::format("{} line {}", file.string(), row.line);
}

// take(row, place) of all rows that are JSON objects.
template <class Take>
void for_each_row(const fs::path& file, Problems& problems, const Take& take) {
  try {
    data::read_rows(file, [&](data::TableRow& row) {
      if (row.fault.empty())
        take(row.fields, place_of(file, row));
      else
        problems.add(fmt::format("{}: {}", place_of(file, row), row.fault));
      return true;
    });
  } catch (const UserError& failure) {
    problems.add(failure.what());
  }
}

std::optional<std::string> text_at(const json& fields, const char* key, const std::string& place,
                                   Problems& problems) {
  const auto found = fields.find(key);
  if (found != fields.end() && found->is_string()) return found->get<std::string>();
  problems.add(fmt::format("{}: '{}' is not a text", place, key));
  return std::nullopt;
}

std::optional<std::vector<std::string>> texts_at(const json& fields, const char* key,
                                                 const std::string& place, Problems& problems) {
  const auto found = fields.find(key);
  const auto is_text = [](const json& value) { return value.is_string(); };
  if (found != fields.end() && found->is_array() && std::all_of(found->begin(), found->end(), is_text))
    return found->get<std::vector<std::string>>();
  problems.add(fmt::format("{}: '{}' is not a list of texts", place, key));
  return std::nullopt;
}

std::optional<double> share_at(const json& fields, const char* key, const std::string& place,
                               Problems& problems) {
  const auto found = fields.find(key);
  // The benchmark's own files have its answers as texts.
  const std::string text = found != fields.end() && found->is_string() ? found->get<std::string>() : "";
  double value = -1;
  if (found != fields.end() && found->is_number())
    value = found->get<double>();
  else if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
           error != std::errc() || end != text.data() + text.size())
    value = -1;
  if (value >= 0 && value <= 1) return value;
  problems.add(fmt::format("{}: '{}' is not a number from 0 to 1", place, key));
  return std::nullopt;
}

}  // namespace

QuestionRows read_questions(const fs::path& file, Problems& problems) {
  QuestionRows rows;
  for_each_row(file, problems, [&](const json& fields, const std::string& place) {
    const auto category = text_at(fields, "category", place, problems),
               prompt = text_at(fields, "prompt", place, problems);
    const auto chunks = texts_at(fields, "chunks", place, problems);
    if (!category || !prompt || !chunks) return;
    QuestionRow row{.chunks = *chunks};
    if (fields.contains("objects")) {
      const auto objects = texts_at(fields, "objects", place, problems);
      if (objects && objects->size() == 2) row.objects = TwoObjects{(*objects)[0], (*objects)[1]};
      if (objects && objects->size() != 2)
        problems.add(fmt::format("{}: 'objects' has not two nouns", place));
    }
    if (fields.contains("text")) row.text = text_at(fields, "text", place, problems);
    rows[{*category, trimmed(*prompt, " .")}] = std::move(row);
  });
  return rows;
}

void take_questions(const QuestionRows& rows, CategoryPrompts& prompts, Problems& problems) {
  std::vector<std::string> missing;
  const std::string category = word_of(prompts.category);
  for (size_t i = 0; i < prompts.prompts.size(); ++i) {
    const auto row = rows.find({category, trimmed(prompts.prompts[i], " .")});
    if (row == rows.end()) {
      missing.push_back(prompts.prompts[i]);
      continue;
    }
    auto& parts = prompts.parts[i];
    parts.questions = questions_of(row->second.chunks);
    if (row->second.objects) parts.objects = row->second.objects;
    if (row->second.text) parts.text = *row->second.text;
  }
  add_names(fmt::format("the questions file lacks {} prompts of {}", missing.size(), category), missing,
            problems);
}

namespace {

std::optional<Box> box_of(const json& object, const std::string& place, Problems& problems) {
  if (!object.is_object()) {
    problems.add(fmt::format("{}: 'objects' has something other than objects", place));
    return std::nullopt;
  }
  const auto label = text_at(object, "label", place, problems);
  const auto score = share_at(object, "score", place, problems);
  const auto corners = object.find("box");
  const auto is_finite = [](const json& value) {
    return value.is_number() && std::isfinite(value.get<double>());
  };
  if (corners == object.end() || !corners->is_array() || corners->size() != 4 ||
      !std::all_of(corners->begin(), corners->end(), is_finite)) {
    problems.add(fmt::format("{}: 'box' is not a list of four numbers (x_min, y_min, x_max, y_max)", place));
    return std::nullopt;
  }
  if (!label || !score) return std::nullopt;
  Box box{.label = *label, .score = *score, .corners = corners->get<std::array<double, 4>>()};
  if (box.corners[0] > box.corners[2] || box.corners[1] > box.corners[3])
    problems.add(fmt::format("{}: 'box' ends before it begins", place));
  return box;
}

}  // namespace

BoxRows read_boxes(const fs::path& file, Problems& problems) {
  BoxRows rows;
  for_each_row(file, problems, [&](const json& fields, const std::string& place) {
    const auto image = text_at(fields, "image", place, problems);
    const auto objects = fields.find("objects");
    if (objects == fields.end() || !objects->is_array() || objects->size() > kMostBoxes)
      return problems.add(
          fmt::format("{}: 'objects' is not a list of at most {} objects", place, kMostBoxes));
    if (!image) return;
    std::vector<Box> boxes;
    for (const auto& object : *objects)
      if (auto box = box_of(object, place, problems)) boxes.push_back(std::move(*box));
    if (!rows.emplace(*image, std::move(boxes)).second)
      problems.add(fmt::format("{}: the image '{}' is there twice", place, printable(*image)));
  });
  return rows;
}

AnswerRows read_answers(const fs::path& file, Problems& problems) {
  AnswerRows rows;
  for_each_row(file, problems, [&](const json& fields, const std::string& place) {
    if (fields.contains("kind")) return;  // the first line of a file of this program
    const auto image = text_at(fields, "image", place, problems),
               question = text_at(fields, "question", place, problems);
    const auto answer = share_at(fields, "answer", place, problems);
    if (image && question && answer) rows[{*image, *question}] = *answer;
  });
  return rows;
}

std::string name_below(const CompBenchRequest& request, const fs::path& image) {
  return image.lexically_relative(request.images).generic_string();
}

}  // namespace pixart::score
