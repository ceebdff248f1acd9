#include "spacy_tokenizer.h"

#include <algorithm>
#include <set>

#include "pixart/base/error.h"
#include "spacy_words.h"
#include "unicode.h"

namespace pixart::text {
namespace {

// Numbers of spaCy's attributes (spacy/attrs.pyx).
constexpr uint64_t kOrth = 65, kNorm = 67;
constexpr size_t kLongestPattern = size_t{1} << 20, kShownOfPattern = 60;

// The regular expression under `key`; null if the file has nil there. re.match begins at the start, re.search anywhere.
std::optional<Regex> pattern_at(const Packed& file, const char* key, bool is_match) {
  const auto& value = file.at(key);
  if (value.is(Packed::Kind::kNil)) return std::nullopt;
  const auto pattern = value.as_text();
  if (pattern.size() > kLongestPattern) throw PackedError(fmt::format("'{}' is too long", key));
  std::string problem;
  auto regex = Regex::from_python(pattern, problem);
  // Alone first: the parentheses around it must not close one of its own.
  constexpr std::string_view kUnicode = "(?u)";
  const auto inner = pattern.starts_with(kUnicode) ? pattern.substr(kUnicode.size()) : pattern;
  if (regex && is_match) regex = Regex::from_python(fmt::format("\\G(?:{})", inner), problem);
  if (!regex)
    throw PackedError(fmt::format("'{}' is not a regular expression that is read: {} ({}...)", key, problem,
                                  first_characters(pattern, kShownOfPattern)));
  return regex;
}

// How many characters the first match of re.search has; 0 if there is none.
size_t length_of_match(const std::optional<Regex>& regex, std::string_view text) {
  const auto found = regex ? regex->search(text) : std::nullopt;
  return found ? num_characters(found->of(text)) : 0;
}

bool matches(const std::optional<Regex>& regex, std::string_view text) {
  return regex && regex->search(text).has_value();
}

// Attributes are named by numbers or by words.
const Packed* attribute(const Packed& part, uint64_t number, const char* name) {
  const auto* found = part.find(number);
  return found != nullptr ? found : part.find(std::string_view(name));
}

size_t bytes_between(std::string_view first, std::string_view last) {
  return size_t(last.data() + last.size() - first.data());
}

}  // namespace

SpacyTokenizer::SpacyTokenizer(const Packed& file)
    : prefix_(pattern_at(file, "prefix_search", false)),
      suffix_(pattern_at(file, "suffix_search", false)),
      infix_(pattern_at(file, "infix_finditer", false)),
      token_match_(pattern_at(file, "token_match", true)),
      url_match_(pattern_at(file, "url_match", true)) {
  read_cases(file.at("exceptions"));
  const auto* heuristics = file.find("faster_heuristics");
  read_sequences(heuristics == nullptr || heuristics->as_bool());
}

void SpacyTokenizer::read_cases(const Packed& cases) {
  if (!cases.is(Packed::Kind::kMap)) throw PackedError("'exceptions' is not a map");
  for (size_t i = 0; i + 1 < cases.items.size(); i += 2) {
    const auto word = cases.items[i].as_text();
    Parts parts;
    std::string together;
    for (const auto& part : cases.items[i + 1].list()) {
      const auto *orth = attribute(part, kOrth, "ORTH"), *norm = attribute(part, kNorm, "NORM");
      if (orth == nullptr || orth->as_text().empty())
        throw PackedError(fmt::format("the special case '{}' has a part without text", word));
      parts.push_back({std::string(orth->as_text()), norm == nullptr ? "" : std::string(norm->as_text())});
      together += parts.back().text;
    }
    if (together != word || parts.empty())
      throw PackedError(fmt::format("the parts of the special case '{}' are '{}'", word, together));
    cases_[std::string(word)] = std::move(parts);
  }
}

void SpacyTokenizer::read_sequences(bool only_divided) {
  for (const auto& [word, parts] : cases_) {
    const bool is_divided = length_of_match(prefix_, word) > 0 || length_of_match(suffix_, word) > 0 ||
                            matches(infix_, word) || word.find(' ') != std::string::npos;
    if (only_divided && !is_divided) continue;
    Sequence sequence;
    for (const auto& token : split_at_space(word, false)) sequence.tokens.emplace_back(token.text);
    sequences_[sequence.tokens.front()].push_back(std::move(sequence));
  }
}

std::vector<SpacyToken> SpacyTokenizer::split(std::string_view text) const {
  return with_cases(text, split_at_space(text, true));
}

// Runs of white space are words as well, without the one blank that follows a word.
std::vector<SpacyToken> SpacyTokenizer::split_at_space(std::string_view text, bool with_cases) const {
  std::vector<SpacyToken> tokens;
  size_t begin = 0, at = 0;
  bool in_space = true;
  while (at < text.size()) {
    const size_t here = at;
    const bool is_white = is_space(next_code_point(text, at));
    if (here == 0) in_space = is_white;
    if (is_white == in_space) continue;
    if (begin < here) add_word(text.substr(begin, here - begin), with_cases, tokens);
    const bool is_blank = text[here] == ' ';
    if (is_blank) tokens.back().space = true;
    begin = is_blank ? here + 1 : here;
    in_space = is_white;
  }
  if (begin < text.size()) add_word(text.substr(begin), with_cases, tokens);
  return tokens;
}

bool SpacyTokenizer::add_case(std::string_view word, std::vector<SpacyToken>& tokens) const {
  const auto found = cases_.find(word);
  if (found == cases_.end()) return false;
  size_t at = 0;
  for (const auto& part : found->second) {
    tokens.push_back({.text = word.substr(at, part.text.size()), .norm = part.norm});
    at += part.text.size();
  }
  return true;
}

void SpacyTokenizer::add_word(std::string_view word, bool with_cases, std::vector<SpacyToken>& tokens) const {
  if (with_cases && add_case(word, tokens)) return;
  const auto affixes = cut_affixes(word, with_cases);
  for (const auto prefix : affixes.prefixes) tokens.push_back({.text = prefix});
  if (!affixes.middle.empty()) add_middle(affixes.middle, with_cases, tokens);
  for (size_t i = affixes.suffixes.size(); i > 0; --i) tokens.push_back({.text = affixes.suffixes[i - 1]});
}

SpacyTokenizer::Affixes SpacyTokenizer::cut_affixes(std::string_view word, bool with_cases) const {
  Affixes cut{.middle = word};
  auto& rest = cut.middle;
  for (size_t last_size = 0; !rest.empty() && rest.size() != last_size;) {
    if (matches(token_match_, rest) || (with_cases && is_case(rest))) break;
    last_size = rest.size();
    const auto prefix = first_characters(rest, length_of_match(prefix_, rest));
    const auto after = rest.substr(prefix.size());
    if (!prefix.empty() && with_cases && is_case(after)) {
      cut.prefixes.push_back(prefix);
      rest = after;
      break;
    }
    const auto suffix = last_characters(rest, length_of_match(suffix_, after));
    const auto before = rest.substr(0, rest.size() - suffix.size());
    if (!suffix.empty() && with_cases && is_case(before)) {
      cut.suffixes.push_back(suffix);
      rest = before;
      break;
    }
    if (!prefix.empty()) cut.prefixes.push_back(prefix);
    if (!suffix.empty()) cut.suffixes.push_back(suffix);
    rest = after.substr(0, after.size() - suffix.size());
  }
  return cut;
}

void SpacyTokenizer::add_middle(std::string_view middle, bool with_cases,
                                std::vector<SpacyToken>& tokens) const {
  if (with_cases && add_case(middle, tokens)) return;
  if (matches(token_match_, middle) || matches(url_match_, middle))
    tokens.push_back({.text = middle});
  else
    add_between_infixes(middle, tokens);
}

// An infix at the very beginning is not one.
void SpacyTokenizer::add_between_infixes(std::string_view middle, std::vector<SpacyToken>& tokens) const {
  size_t begin = 0, from = 0;
  while (infix_ && from <= middle.size()) {
    const auto found = infix_->search(middle, from);
    if (!found) break;
    // After an empty match the search goes on one character later.
    from = found->end() > found->begin()
               ? found->end()
               : found->end() + std::max<size_t>(first_characters(middle.substr(found->end()), 1).size(), 1);
    if (found->begin() == 0) continue;
    if (found->begin() > begin) tokens.push_back({.text = middle.substr(begin, found->begin() - begin)});
    if (found->end() > found->begin()) tokens.push_back({.text = found->of(middle)});
    begin = found->end();
  }
  if (begin < middle.size()) tokens.push_back({.text = middle.substr(begin)});
}

// The longest come first, of equal ones the earliest; a span is dropped if its first or last token is in one that came before
// it, kept or not.
std::vector<SpacyTokenizer::Span> SpacyTokenizer::spans_of_cases(
    const std::vector<SpacyToken>& tokens) const {
  std::vector<Span> spans, kept;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto found = sequences_.find(tokens[i].text);
    if (found == sequences_.end()) continue;
    for (const auto& [words] : found->second)
      if (words.size() <= tokens.size() - i &&
          std::equal(words.begin(), words.end(), tokens.begin() + std::ptrdiff_t(i),
                     [](const std::string& word, const SpacyToken& token) { return word == token.text; }))
        spans.push_back({i, i + words.size()});
  }
  std::stable_sort(spans.begin(), spans.end(),
                   [](const Span& a, const Span& b) { return a.end - a.begin > b.end - b.begin; });
  std::set<size_t> seen;
  for (const auto& span : spans) {
    if (!seen.contains(span.begin) && !seen.contains(span.end - 1)) kept.push_back(span);
    for (size_t i = span.begin; i < span.end; ++i) seen.insert(i);
  }
  std::sort(kept.begin(), kept.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  return kept;
}

// Puts the parts of special cases in place of the tokens that affixes made of them, where the text between is that of the case.
std::vector<SpacyToken> SpacyTokenizer::with_cases(std::string_view text,
                                                   std::vector<SpacyToken> tokens) const {
  const auto spans = spans_of_cases(tokens);
  if (spans.empty()) return tokens;
  std::vector<SpacyToken> result;
  size_t done = 0;
  for (const auto& [begin, end] : spans) {
    result.insert(result.end(), tokens.begin() + std::ptrdiff_t(done),
                  tokens.begin() + std::ptrdiff_t(begin));
    done = begin;
    const auto first = tokens[begin].text;
    const auto whole =
        text.substr(size_t(first.data() - text.data()), bytes_between(first, tokens[end - 1].text));
    if (!add_case(whole, result)) continue;
    result.back().space = tokens[end - 1].space;
    done = end;
  }
  result.insert(result.end(), tokens.begin() + std::ptrdiff_t(done), tokens.end());
  return result;
}

}  // namespace pixart::text
