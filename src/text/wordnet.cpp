#include "wordnet.h"

#include <algorithm>
#include <charconv>

#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart::text {
namespace {
namespace fs = std::filesystem;

constexpr std::array<const char*, kNumPartsOfSpeech> kNames = {"noun", "verb", "adj", "adv"};
constexpr uint64_t kLargestWordnetFile = 256ULL << 20;

[[noreturn]] void refuse(const fs::path& file, int64_t line, const std::string& what) {
  throw UserError(fmt::format("{}:{}: {}; the file is not of WordNet 3.x", file.string(), line, what));
}

std::string_view next_field(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view field = line.substr(0, end);
  line.remove_prefix(end);
  return field;
}

// visit(line number, line)
template <class Visit>
void for_each_line(const fs::path& file, Visit visit) {
  const std::string bytes = read_file(file, kLargestWordnetFile);
  int64_t number = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', at), bytes.size());
    std::string_view line(bytes.data() + at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    visit(++number, line);
    at = end + 1;
  }
}

void add_lemma(WordNet& wordnet, std::string_view text, PartOfSpeech part) {
  auto found = wordnet.lemmas.find(text);
  if (found == wordnet.lemmas.end()) found = wordnet.lemmas.emplace(text, Lemma()).first;
  Lemma& lemma = found->second;
  if (part == kNoun && !lemma.listed[kNoun]) {
    lemma.noun = uint32_t(wordnet.nouns.size());
    wordnet.nouns.push_back(&found->first);
  }
  lemma.listed[part] = true;
}

// "dog n 7 5 @ ~ ..."; lines of the licence begin with a blank.
void read_index(WordNet& wordnet, const fs::path& file, PartOfSpeech part) {
  int64_t num_lemmas = 0;
  for_each_line(file, [&](int64_t number, std::string_view line) {
    if (line.empty() || line.front() == ' ') return;
    const std::string_view lemma = next_field(line), type = next_field(line);
    if (type.size() != 1 || type.front() != "nvar"[part])
      refuse(file, number, "expected a lemma and the letter of its part of speech");
    add_lemma(wordnet, lemma, part);
    ++num_lemmas;
  });
  if (num_lemmas == 0) refuse(file, 1, "the file lists no word");
}

// "geese goose"; there may be a second base form
void read_exceptions(WordNet& wordnet, const fs::path& file, PartOfSpeech part) {
  for_each_line(file, [&](int64_t number, std::string_view line) {
    const std::string_view word = next_field(line);
    if (word.empty()) return;
    auto& bases = wordnet.exceptions[part][std::string(word)];
    for (auto base = next_field(line); !base.empty(); base = next_field(line)) bases.emplace_back(base);
    if (bases.empty()) refuse(file, number, "expected a word and its base form");
  });
}

// "dog%1:05:00:: 1 42": sense key, number of the sense, tagged uses. Lemmas that are not in the index are
// skipped.
void read_counts(WordNet& wordnet, const fs::path& file) {
  for_each_line(file, [&](int64_t number, std::string_view line) {
    const std::string_view key = next_field(line);
    if (key.empty()) return;
    next_field(line);
    const std::string_view count = next_field(line);
    const size_t percent = key.rfind('%');
    uint32_t uses = 0;
    const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), uses);
    if (percent == std::string_view::npos || percent + 1 >= key.size() || key[percent + 1] < '1' ||
        key[percent + 1] > '5' || error != std::errc() || end != count.data() + count.size())
      refuse(file, number, "expected a sense key, its number and a count");
    const int type = key[percent + 1] - '1';  // 5: satellite adjectives
    const auto part = type == 4 ? kAdjective : PartOfSpeech(type);
    const auto found = wordnet.lemmas.find(key.substr(0, percent));
    if (found != wordnet.lemmas.end() && found->second.listed[part]) found->second.uses[part] += uses;
  });
}

struct Ending {
  std::string_view from, to;
  Form form;
};

const std::vector<Ending>& endings(PartOfSpeech part) {
  static const std::array<std::vector<Ending>, kNumPartsOfSpeech> kEndings = {{
      {{"s", "", Form::kS},
       {"ses", "s", Form::kS},
       {"xes", "x", Form::kS},
       {"zes", "z", Form::kS},
       {"ches", "ch", Form::kS},
       {"shes", "sh", Form::kS},
       {"men", "man", Form::kS},
       {"ies", "y", Form::kS}},
      {{"s", "", Form::kS},
       {"ies", "y", Form::kS},
       {"es", "e", Form::kS},
       {"es", "", Form::kS},
       {"ed", "e", Form::kPast},
       {"ed", "", Form::kPast},
       {"ing", "e", Form::kIng},
       {"ing", "", Form::kIng}},
      {{"er", "", Form::kBase},
       {"est", "", Form::kBase},
       {"er", "e", Form::kBase},
       {"est", "e", Form::kBase}},
      {},
  }};
  return kEndings[part];
}

Form form_of_irregular(std::string_view word, PartOfSpeech part) {
  if (part == kNoun) return Form::kS;
  if (part == kAdjective) return Form::kBase;
  return word.ends_with("ing") ? Form::kIng : word.ends_with("s") ? Form::kS : Form::kPast;
}

}  // namespace

WordNet read_wordnet(const fs::path& folder) {
  std::vector<std::string> missing;
  const auto path = [&](const std::string& name) {
    if (!fs::is_regular_file(folder / name)) missing.push_back(name);
    return folder / name;
  };
  const fs::path counts = path("cntlist.rev");
  std::vector<fs::path> indexes, exceptions;
  for (const char* name : kNames) indexes.push_back(path(std::string("index.") + name));
  for (const auto part : {kNoun, kVerb, kAdjective})
    exceptions.push_back(path(std::string(kNames[part]) + ".exc"));
  if (!missing.empty())
    throw UserError(fmt::format(
        "WordNet's dictionary in '{}' is not complete: {} missing. Install Debian's package wordnet-base "
        "(apt-get install wordnet-base), or name the folder of WordNet's "
        "files with --wordnet or WNSEARCHDIR.",
        folder.string(), fmt::join(missing, ", ")));
  WordNet wordnet;
  wordnet.lemmas.reserve(160000);
  for (int part = kNoun; part < kNumPartsOfSpeech; ++part)
    read_index(wordnet, indexes[size_t(part)], PartOfSpeech(part));
  for (const auto part : {kNoun, kVerb, kAdjective}) read_exceptions(wordnet, exceptions[part], part);
  read_counts(wordnet, counts);
  return wordnet;
}

std::vector<BaseForm> base_forms(const WordNet& wordnet, std::string_view word, PartOfSpeech part) {
  std::vector<BaseForm> bases;
  const auto add = [&](std::string text, Form form) {
    const auto found = wordnet.lemmas.find(text);
    if (found == wordnet.lemmas.end() || !found->second.listed[part]) return;
    if (std::any_of(bases.begin(), bases.end(), [&](const auto& base) { return base.text == text; })) return;
    bases.push_back({std::move(text), form, found->second.uses[part]});
  };
  add(std::string(word), Form::kBase);
  const auto irregular = wordnet.exceptions[part].find(word);
  if (irregular != wordnet.exceptions[part].end()) {
    for (const auto& base : irregular->second) add(base, form_of_irregular(word, part));
    return bases;
  }
  // "boxesful" is looked up as boxes + ful; glass, bus and is are not plurals.
  std::string_view stem = word, tail;
  if (part == kNoun && word.ends_with("ful")) {
    stem = word.substr(0, word.size() - 3);
    tail = "ful";
  } else if (part == kNoun && (word.ends_with("ss") || word.size() <= 2)) {
    return bases;
  }
  for (const auto& [from, to, form] : endings(part)) {
    if (stem.size() <= from.size() || !stem.ends_with(from)) continue;
    add(std::string(stem.substr(0, stem.size() - from.size())).append(to).append(tail), form);
  }
  return bases;
}

}  // namespace pixart::text
