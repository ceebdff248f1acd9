// What src/README.md promises of the design: what differs between models, objectives and keys is decided in
// one place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "source_tree.h"

namespace pixart::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "file:line: text" of each line of our sources (not the tests) that `matches`.
std::vector<std::string> lines_with(const std::function<bool(const std::string& line)>& matches,
                                    const std::set<std::string>& but_not_modules) {
  std::vector<std::string> found;
  for (const char* folder : {"include", "src", "tools"}) {
    for (const auto& file : files_under(folder)) {
      if (!is_cpp_file(file) || but_not_modules.count(module_of(file)) != 0) continue;
      int number = 0;
      for (const auto& line : read_lines(source_dir() / file)) {
        ++number;
        if (matches(line)) found.push_back(file + ":" + std::to_string(number) + ": " + line);
      }
    }
  }
  return found;
}

// Comparisons with one of `words`, as "a|b".
std::function<bool(const std::string&)> compares_with(const std::string& words) {
  return [pattern = std::regex("[=!]= *\"(" + words + ")\"")](const std::string& line) {
    return line.find("= \"") != std::string::npos && std::regex_search(line, pattern);
  };
}

TEST(Design, OnlyModelsAndConvertTellTransformersApart) {
  const auto names_one = [](const std::string& line) {
    for (const char* name : {"DitConfig", "PixArtConfig", "dit_preset", "pixart_preset", "models::Dit",
                             "models::PixArt", "models/dit.h", "models/pixart.h"})
      if (line.find(name) != std::string::npos) return true;
    return false;
  };
  EXPECT_THAT(lines_with(names_one, {"models", "convert"}), IsEmpty());
  EXPECT_FALSE(lines_with(names_one, {}).empty()) << "nothing is found anywhere";
}

TEST(Design, NobodyComparesTheNameOfAnObjective) {
  const std::string table = read_text(source_dir() / "src/run/objective_table.cpp");
  std::string names;
  const std::regex row(R"re(\.name = "(\w+)")re");
  for (auto at = std::sregex_iterator(table.begin(), table.end(), row); at != std::sregex_iterator(); ++at)
    names += (names.empty() ? "" : "|") + (*at)[1].str();
  ASSERT_NE(names.find("class_conditional|"), std::string::npos) << names;
  EXPECT_THAT(lines_with(compares_with(names), {}), IsEmpty());
}

// A new objective is a row of the table: its name is in no other source, but in those of published figures.
TEST(Design, AnObjectiveIsNamedInItsRowAlone) {
  const auto names_one = [](const std::string& line) {
    return line.find("\"class_conditional\"") != std::string::npos ||
           line.find("\"text_conditional\"") != std::string::npos;
  };
  std::set<std::string> files;
  for (const auto& line : lines_with(names_one, {})) files.insert(line.substr(0, line.find(':')));
  EXPECT_THAT(files, ElementsAre("include/pixart/report/loss_bands.h", "src/plan/paper_stages.cpp",
                                 "src/report/loss_bands.cpp", "src/run/objective_table.cpp"));
}

// Headers that only their own module and tests include are in src/<module>.
TEST(Design, PublicHeadersAreIncludedByOthers) {
  std::set<std::string> included;
  for (const char* folder : {"include", "src", "tools"})
    for (const auto& file : files_under(folder)) {
      if (!is_cpp_file(file)) continue;
      const bool is_public = file.starts_with("include/");
      for (const auto& include : includes_of(read_text(source_dir() / file)))
        if (is_public || module_of("include/" + include.target) != module_of(file))
          included.insert(include.target);
    }
  std::vector<std::string> alone;
  for (const auto& file : files_under("include"))
    if (included.count(file.substr(std::string("include/").size())) == 0) alone.push_back(file);
  EXPECT_THAT(alone, IsEmpty());
}

// The words of keys are enums; files of other people, and kinds of telemetry lines, are not keys.
TEST(Design, NobodyComparesAWordOfAKey) {
  std::string words;
  const std::regex entry(R"re(\{"(\w+)", \w+::k\w+\})re");
  for (const auto& file : files_under("include")) {
    const std::string text = read_text(source_dir() / file);
    for (auto at = std::sregex_iterator(text.begin(), text.end(), entry); at != std::sregex_iterator(); ++at)
      words += (words.empty() ? "" : "|") + (*at)[1].str();
  }
  ASSERT_NE(words.find("bfloat16"), std::string::npos) << words;
  const auto compares = compares_with(words);
  const auto matches = [&](const std::string& line) {
    return line.find("kind ==") == std::string::npos && compares(line);
  };
  EXPECT_THAT(lines_with(matches, {"formats", "report"}), IsEmpty());
}

// Names of the fields of each struct of the public headers that describes its keys, or of any struct there.
struct Struct {
  std::set<std::string> fields;
  bool has_keys = false;
};

std::string without_braces(const std::string& body) {
  std::string flat;
  int depth = 0;
  for (const char c : body) {
    depth += c == '{' ? 1 : 0;
    if (depth == 0) flat += c;
    depth -= c == '}' ? 1 : 0;
  }
  return flat;
}

std::map<std::string, Struct> structs_of(const std::string& file) {
  const std::regex head(R"(\bstruct (\w+)[^;{()]*\{)"), field(R"(^\s*[\w:<>, ]+?[ >](\w+)( = [^,;]*)?$)");
  const std::string text = std::regex_replace(read_text(source_dir() / file), std::regex("//[^\n]*"), "");
  std::map<std::string, Struct> result;
  for (auto at = std::sregex_iterator(text.begin(), text.end(), head); at != std::sregex_iterator(); ++at) {
    size_t end = size_t(at->position()) + at->length();
    const size_t begin = end;
    for (int depth = 1; depth > 0 && end < text.size(); ++end)
      depth += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
    const std::string body = text.substr(begin, end - begin - 1);
    Struct one{.fields = {}, .has_keys = body.find("static void fields(") != std::string::npos};
    std::stringstream statements(without_braces(body));
    for (std::string statement; std::getline(statements, statement, ';');) {
      std::smatch match;
      statement = std::regex_replace(statement, std::regex(R"(\s+)"), " ");
      if (std::regex_match(statement, match, field)) one.fields.insert(match[1]);
    }
    result[file + ": " + (*at)[1].str()] = one;
  }
  return result;
}

// A struct that repeats the fields of a struct of keys is copied from it field by field. Those that are left
// have keys that may be unset, and then depend on another key (name, preset, objective); the other struct has all
// values. A Process is also read from files of others, with values that no key sets, and options may say any
// part of it.
TEST(Design, NoStructOfKeysHasATwin) {
  const std::set<std::pair<std::string, std::string>> known = {{"OptimizerConfig", "AdamWConfig"},
                                                               {"OptimizerConfig", "CameConfig"},
                                                               {"DiffusionConfig", "Process"},
                                                               {"DiffusionConfig", "ChosenProcess"},
                                                               {"TransformerSizeConfig", "TransformerShape"},
                                                               {"StageConfig", "TextSizes"},
                                                               {"SamplerChoice", "SamplerConfig"},
                                                               {"SamplerConfig", "SamplerChoice"}};
  std::map<std::string, Struct> all;
  for (const auto& file : files_under("include"))
    if (is_cpp_file(file)) all.merge(structs_of(file));
  ASSERT_TRUE(all.at("include/pixart/optim/optimizer.h: OptimizerConfig").has_keys);
  const auto short_name = [](const std::string& name) { return name.substr(name.find(": ") + 2); };
  std::vector<std::string> twins;
  for (const auto& [name, keys] : all) {
    if (!keys.has_keys) continue;
    for (const auto& [other_name, other] : all) {
      std::vector<std::string> common;
      std::set_intersection(keys.fields.begin(), keys.fields.end(), other.fields.begin(), other.fields.end(),
                            std::back_inserter(common));
      const size_t smaller = std::min(keys.fields.size(), other.fields.size());
      if (name == other_name || common.size() < 3 || 2 * common.size() < smaller) continue;
      if (known.count({short_name(name), short_name(other_name)}) == 0)
        twins.push_back(name + " and " + other_name);
    }
  }
  EXPECT_THAT(twins, IsEmpty());
}

}  // namespace
}  // namespace pixart::testing
