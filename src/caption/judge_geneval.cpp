// Questions for GenEval's prompts, made from its metadata by templates of our own.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "judge_questions.h"
#include "pixart/base/file.h"
#include "pixart/base/names.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/data/table_rows.h"

namespace pixart::caption {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kLargestMetadata = uint64_t{1} << 20;
constexpr int64_t kMostObjects = 1000;

struct Relation {
  std::string_view name, text;
};
constexpr Relation kPlaces[] = {{"left of", "to the left of"}, {"right of", "to the right of"}};

struct Object {
  std::string name = {}, color = {}, place = {};
  int64_t count = 1;
  std::optional<size_t> other = std::nullopt;  // what it has the place to
};

struct Metadata {
  std::string tag = {};
  std::vector<Object> include = {}, exclude = {};
};

// A short text; throws json's exception for other values.
std::string word_in(const json& object, const char* name) {
  constexpr size_t kLongest = 200;
  std::string text = trimmed(object.at(name).get<std::string>());
  if (text.empty() || text.size() > kLongest || !is_utf8(text))
    throw UserError(fmt::format("{} is not a short text", name));
  return text;
}

Object object_of(const json& entry, size_t num_objects) {
  Object object{.name = word_in(entry, "class"), .count = entry.value("count", int64_t{1})};
  if (object.count < 1 || object.count > kMostObjects) throw UserError("count is not 1 to 1000");
  if (entry.contains("color")) object.color = word_in(entry, "color");
  if (!entry.contains("position")) return object;
  const json& position = entry.at("position");
  object.place = trimmed(position.at(0).get<std::string>());
  object.other = position.at(1).get<size_t>();
  if (*object.other >= num_objects) throw UserError("position names an object that is not there");
  for (const auto& [name, text] : kPlaces)
    if (object.place == name) object.place = text;
  return object;
}

Metadata metadata_of(const fs::path& file) {
  constexpr int kDeepest = 16;
  const std::string text = read_file(file, kLargestMetadata);
  if (data::nesting_of(text) > kDeepest) throw UserError("it is nested too deep");
  const json entry = json::parse(text);
  Metadata metadata{.tag = word_in(entry, "tag")};
  const json& include = entry.at("include");
  for (const auto& object : include) metadata.include.push_back(object_of(object, include.size()));
  if (metadata.include.empty()) throw UserError("include has no object");
  for (const auto& object : entry.value("exclude", json::array()))
    metadata.exclude.push_back(object_of(object, 0));
  return metadata;
}

std::string with_article(const std::string& name) {
  const bool is_vowel = std::string_view("aeiouAEIOU").find(name.front()) != std::string_view::npos;
  return (is_vowel ? "an " : "a ") + name;
}

// Whether more of an object than `count` are excluded.
bool is_exact(const Metadata& metadata, const Object& object) {
  for (const auto& other : metadata.exclude)
    if (other.name == object.name && other.count == object.count + 1) return true;
  return false;
}

struct Made {
  std::string id, text;
  std::vector<std::string> depends;
};

std::vector<Made> questions_of(const Metadata& metadata) {
  std::vector<Made> made;
  for (size_t i = 0; i < metadata.include.size(); ++i) {
    const Object& object = metadata.include[i];
    const std::string number = std::to_string(i), seen = number + ".object";
    made.push_back({seen, fmt::format("Is there {} in the image?", with_article(object.name)), {}});
    const bool exact = is_exact(metadata, object);
    if (object.count > 1 || exact)
      made.push_back({number + ".count",
                      fmt::format("Is the number of objects of the kind \"{}\" in the image {} {}?",
                                  object.name, exact ? "exactly" : "at least", object.count),
                      {seen}});
    if (!object.color.empty())
      made.push_back({number + ".color", fmt::format("Is the {} {}?", object.name, object.color), {seen}});
    if (object.other)
      made.push_back({number + ".position",
                      fmt::format("Is the {} {} the {}?", object.name, object.place,
                                  metadata.include[*object.other].name),
                      {seen, std::to_string(*object.other) + ".object"}});
  }
  for (size_t i = 0; i < metadata.exclude.size(); ++i)
    if (metadata.exclude[i].count == 1)
      made.push_back({fmt::format("{}.absent", i),
                      fmt::format("Is the image without any {}?", metadata.exclude[i].name),
                      {}});
  return made;
}

}  // namespace

QuestionSet geneval_questions(const fs::path& folder, const JudgedImages& images, int parts,
                              Problems& problems) {
  std::vector<ReadQuestion> read;
  std::map<std::string, std::optional<Metadata>> known;  // nothing: its problem is noted
  for (const auto& image : images) {
    const std::string group = fs::path(image.key).begin()->string();
    const auto [found, is_new] = known.emplace(group, std::nullopt);
    const fs::path file = folder / group / "metadata.jsonl";
    if (is_new) {
      try {
        found->second = metadata_of(file);
      } catch (const std::exception& error) {
        problems.add(fmt::format("{}: {}", file.string(), error.what()));
      }
    }
    if (!found->second) continue;
    for (const auto& made : questions_of(*found->second))
      read.push_back({.question = {.row = image.row,
                                   .id = made.id,
                                   .text = made.text,
                                   .category = found->second->tag,
                                   .group = group},
                      .depends = made.depends,
                      .place = image.key});
  }
  QuestionSet set = linked(std::move(read), parts, problems);
  set.wording = "pixart: objects, numbers, colours and places of GenEval's metadata";
  return set;
}

}  // namespace pixart::caption
