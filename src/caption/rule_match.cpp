#include <algorithm>
#include <array>
#include <map>
#include <regex>

#include "answer_rules.h"
#include "pixart/base/error.h"
#include "pixart/base/utf8.h"

namespace pixart::caption {

namespace {

// Characters: a regular expression looks no further, as its matcher calls itself for each repetition.
constexpr size_t kLongestMatch = 600, kLongestSearch = 16384;

struct Short {
  std::wstring_view name, meaning;
};
constexpr std::array<Short, 3> kShorts = {
    {{L"'", L"(?:'|\u2019|\u00b4|`)?"},
     {L"@image", L"(?:images?|pictures?|photos?|photographs?|pics?|screenshots?|visuals?|illustrations?)"},
     {L"@quite",
      L"(?:simply|really|just|unfortunately|currently|regretfully|therefore|sadly|also|still|do|afraid|am|"
      L"actually|respectfully|respectively|honestly|truly)"}}};

// `x ?` in a pattern: the blank may be missing.
std::wstring spelled_out(const std::wstring& pattern) {
  constexpr const wchar_t* kBlank = L"(?:\\s|\u00a0|\u3000)";
  std::wstring result;
  for (size_t at = 0; at < pattern.size();) {
    const auto found = std::find_if(kShorts.begin(), kShorts.end(), [&](const Short& known) {
      return pattern.compare(at, known.name.size(), known.name) == 0;
    });
    if (found != kShorts.end()) {
      result += found->meaning;
      at += found->name.size();
    } else if (pattern[at] == L' ') {
      const bool may_be_missing = pattern.compare(at, 2, L" ?") == 0;
      result += std::wstring(kBlank) + (may_be_missing ? L"*" : L"+");
      at += may_be_missing ? 2 : 1;
    } else {
      result += pattern[at++];
    }
  }
  return result;
}

struct Compiled {
  const AnswerRule* rule;
  std::wregex regex;
};

const std::vector<Compiled>& compiled(RuleKind kind) {
  static const std::map<RuleKind, std::vector<Compiled>> all = [] {
    std::map<RuleKind, std::vector<Compiled>> result;
    for (const auto& rule : answer_rules())
      result[rule.kind].push_back({&rule, std::wregex(spelled_out(to_wide(rule.pattern)))});
    return result;
  }();
  return all.at(kind);
}

std::optional<RuleMatch> search(RuleKind kind, const std::wstring& text, size_t at,
                                std::regex_constants::match_flag_type flags) {
  const bool is_anchored = flags == std::regex_constants::match_continuous;
  const size_t end = std::min(text.size(), at + (is_anchored ? kLongestMatch : kLongestSearch));
  std::optional<RuleMatch> best;
  for (const auto& [rule, regex] : compiled(kind)) {
    std::wsmatch match;
    if (!std::regex_search(text.begin() + std::ptrdiff_t(at), text.begin() + std::ptrdiff_t(end), match,
                           regex, flags))
      continue;
    const RuleMatch found{rule, at + size_t(match.position()), size_t(match.length())};
    if (is_anchored) return found;
    if (!best || found.begin < best->begin) best = found;
  }
  return best;
}

wchar_t lower(wchar_t c) {
  const bool is_latin1 = c >= 0xC0 && c <= 0xDE && c != 0xD7;
  const bool is_greek = c >= 0x391 && c <= 0x3A9;
  if ((c >= L'A' && c <= L'Z') || is_latin1 || is_greek || (c >= 0x410 && c <= 0x42F)) return c + 0x20;
  if (c >= 0x400 && c <= 0x40F) return c + 0x50;
  const bool is_latin_pair = (c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177);
  if (is_latin_pair && c % 2 == 0) return c + 1;
  const bool is_odd_pair = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E);
  return is_odd_pair && c % 2 == 1 ? c + 1 : c;
}

}  // namespace

std::string_view to_string(RuleKind kind) {
  static constexpr std::array<std::string_view, 12> kNames = {
      "reasoning", "answer_tag", "token",    "token",   "reasoning", "reasoning",
      "role",      "next_turn",  "preamble", "closing", "no_image",  "refusal"};
  return kNames.at(size_t(kind));
}

std::wstring to_wide(std::string_view utf8) {
  std::wstring result;
  result.reserve(utf8.size());
  for (size_t at = 0; at < utf8.size();) {
    const size_t length = utf8_sequence(utf8, at);
    constexpr uint32_t kUnknown = 0xFFFD;
    uint32_t code = length == 0 ? kUnknown : uint8_t(utf8[at]) & (length == 1 ? 0x7Fu : 0x7Fu >> length);
    for (size_t i = 1; i < length; ++i) code = code << 6 | (uint8_t(utf8[at + i]) & 0x3Fu);
    result += wchar_t(code);
    at += std::max<size_t>(1, length);
  }
  return result;
}

std::string to_utf8(std::wstring_view text) {
  std::string result;
  result.reserve(text.size());
  for (const wchar_t wide : text) append_utf8(result, char32_t(wide));
  return result;
}

std::wstring lowered(std::wstring_view text) {
  std::wstring result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

bool is_blank(wchar_t c) { return c == L' ' || (c >= L'\t' && c <= L'\r') || c == 0xA0 || c == 0x3000; }

std::optional<RuleMatch> match_at(RuleKind kind, const std::wstring& text, size_t at) {
  return search(kind, text, at, std::regex_constants::match_continuous);
}

std::optional<RuleMatch> match_whole(RuleKind kind, const std::wstring& text) {
  for (const auto& [rule, regex] : compiled(kind))
    if (std::regex_match(text, regex)) return RuleMatch{rule, 0, text.size()};
  return std::nullopt;
}

std::optional<RuleMatch> find_first(RuleKind kind, const std::wstring& text) {
  return search(kind, text, 0, std::regex_constants::match_default);
}

}  // namespace pixart::caption
