#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "judge_compbench.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::caption {

namespace {

constexpr const char* kAnswerAsJson =
    "\nAnswer with one JSON object that has the keys \"score\" (a whole number) and \"explanation\" (at most 20 "
    "words).";

struct OwnWords {
  CompBenchPart part;
  const char *opening, *best, *good, *fair, *poor;
};
constexpr OwnWords kOwnWords[] = {
    {CompBenchPart::kSpatial,
     "Which objects does the image show, and where are they with respect to each other?",
     "every object is where the text says", "most objects are where the text says",
     "the objects are there, but not where the text says", "the image hardly fits the text"},
    {CompBenchPart::kSpatial3d,
     "Which objects does the image show, and which are nearer and which farther away?",
     "every object is as near or far as the text says", "most objects are as near or far as the text says",
     "the objects are there, but not as near or far as the text says", "the image hardly fits the text"},
    {CompBenchPart::kNonSpatial, "Who or what does the image show, and what happens between them?",
     "everything that the text says happens", "nearly everything that the text says happens",
     "the objects are there, but do something else", "little of what the text says is there"},
    {CompBenchPart::kComplex,
     "Describe the objects of the image, their colours, shapes and textures, their places and what they do.",
     "everything is as the text says", "nearly everything is as the text says",
     "some of it is as the text says, important things are not", "little of what the text says is there"},
    {CompBenchPart::kNumeracy, "Which objects does the image show, and how many of each?",
     "the number of each object is as the text says", "most numbers are as the text says",
     "the objects are there, but in other numbers", "the image hardly fits the text"},
};

// A string literal of Python at `at`, which moves after it: f"..." or "..." with escapes and lines joined by \.
std::optional<std::string> literal_at(std::string_view text, size_t& at) {
  if (at < text.size() && text[at] == 'f') ++at;
  if (at >= text.size() || text[at] != '"') return std::nullopt;
  std::string result;
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] != '\\' || at + 1 >= text.size()) {
      result += text[at];
      continue;
    }
    ++at;
    if (text[at] == 'n')
      result += '\n';
    else if (text[at] != '\n')  // \ and the end of a line join two lines
      result += text[at];
  }
  if (at >= text.size()) return std::nullopt;
  ++at;
  return result;
}

std::string_view name_in_program(CompBenchPart part) {
  switch (part) {
    case CompBenchPart::kNonSpatial:
      return "action";
    case CompBenchPart::kSpatial3d:
      return "3d_spatial";
    case CompBenchPart::kColor:
    case CompBenchPart::kShape:
    case CompBenchPart::kTexture:
      return "color";  // one branch for the three
    case CompBenchPart::kSpatial:
      return "spatial";
    case CompBenchPart::kComplex:
      return "complex";
    case CompBenchPart::kNumeracy:
      return "numeracy";
  }
  PIXART_CHECK(false, "part {}", int(part));
}

// The literals that the branches for a part assign to a variable: after a line with args.category and the name.
std::vector<std::string> assigned(std::string_view program, std::string_view name,
                                  std::string_view variable) {
  std::vector<std::string> found;
  const std::string quoted = "\"" + std::string(name) + "\"";
  bool is_branch = false;
  for (size_t at = 0; at < program.size();) {
    const size_t end = std::min(program.find('\n', at), program.size());
    const std::string_view line = program.substr(at, end - at);
    if (line.find("args.category ") != std::string_view::npos)
      is_branch = line.find(quoted) != std::string_view::npos;
    const size_t value = line.find(variable);
    size_t literal = value == std::string_view::npos ? program.size() : at + value + variable.size();
    if (is_branch && literal < program.size())
      if (auto text = literal_at(program, literal)) {
        found.push_back(std::move(*text));
        at = literal;
        continue;
      }
    at = end + 1;
  }
  return found;
}

// The program's names of values as ours, and no end of the chat's template.
std::string as_template(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"{chunk[i][0][0]}", "{phrase}"},    {"{chunk[i][1][0]}", "{noun}"},
      {"{chunk[i][2][0]}", "{attribute}"}, {"{file.split('.png')[0].split('_')[0]}", "{prompt}"},
      {"{args.category}", "{category}"},   {" ASSISTANT:", ""}};
  for (const auto& [theirs, ours] : kNames)
    for (size_t at = 0; (at = text.find(theirs, at)) != std::string::npos; at += ours.size())
      text.replace(at, theirs.size(), ours);
  return text;
}

}  // namespace

CompBenchWording own_wording(CompBenchPart part) {
  if (has_attributes(part)) {
    std::string query =
        "Look at the image and at your answer. How well does the image show \"{phrase}\"? Rate it:\n"
        "4: there is {noun}, and its {category} is {attribute}\n"
        "3: there is {noun}, and its {category} is mostly {attribute}\n"
        "2: there is {noun}, but its {category} is not {attribute}\n"
        "1: there is not a {noun}";
    query += kAnswerAsJson;
    return {"Which objects does the image show, and what {category} has each? Answer in at most 50 words.",
            std::move(query)};
  }
  for (const auto& own : kOwnWords)
    if (own.part == part)
      return {
          std::string(own.opening) + " Answer in at most 50 words.",
          fmt::format("Look at the image and at your answer. How well does the image show the text "
                      "\"{{prompt}}\"? Rate it:\n5: {}\n4: {}\n3: {}\n2: {}\n1: the image does not fit the "
                      "text{}",
                      own.best, own.good, own.fair, own.poor, kAnswerAsJson)};
  PIXART_CHECK(false, "part {}", int(part));
}

CompBenchWording wording_of_program(const std::string& program, CompBenchPart part) {
  const auto name = name_in_program(part);
  const auto openings = assigned(program, name, "prompt += "), queries = assigned(program, name, "query = ");
  if (openings.size() != 1 || queries.size() != 1)
    throw UserError(
        fmt::format("the wording for {} is not found in it ({} descriptions and {} questions); leave "
                    "--benchmark out for the wording of pixart",
                    word_of(part), openings.size(), queries.size()));
  return {as_template(openings.front()), as_template(queries.front())};
}

}  // namespace pixart::caption
