#include "spacy_words.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "unicode.h"

namespace pixart::text {
namespace {

struct Symbol {
  std::string_view name;
  uint64_t id;
};
// In the order of the bytes of their names.
constexpr std::array<Symbol, 73> kSymbols = {{
    {"ADJ", 84},        {"ADP", 85},     {"ADV", 86},        {"AUX", 87},         {"DEP", 76},
    {"DET", 90},        {"EOL", 102},    {"GPE", 384},       {"ID", 64},          {"IDX", 455},
    {"LAW", 390},       {"LOC", 385},    {"NUM", 93},        {"ORG", 383},        {"POS", 74},
    {"SYM", 99},        {"TAG", 75},     {"X", 101},         {"_", 456},          {"acl", 451},
    {"acomp", 398},     {"advcl", 399},  {"advmod", 400},    {"agent", 401},      {"amod", 402},
    {"appos", 403},     {"attr", 404},   {"aux", 405},       {"auxpass", 406},    {"cc", 407},
    {"ccomp", 408},     {"complm", 409}, {"conj", 410},      {"cop", 411},        {"csubj", 412},
    {"csubjpass", 413}, {"dep", 414},    {"det", 415},       {"dobj", 416},       {"expl", 417},
    {"hmod", 418},      {"hyph", 419},   {"infmod", 420},    {"intj", 421},       {"iobj", 422},
    {"mark", 423},      {"meta", 424},   {"neg", 425},       {"nmod", 426},       {"nn", 427},
    {"npadvmod", 428},  {"nsubj", 429},  {"nsubjpass", 430}, {"num", 431},        {"number", 432},
    {"obj", 434},       {"obl", 435},    {"oprd", 433},      {"parataxis", 436},  {"partmod", 437},
    {"pcomp", 438},     {"pobj", 439},   {"poss", 440},      {"possessive", 441}, {"preconj", 442},
    {"prep", 443},      {"prt", 444},    {"punct", 445},     {"quantmod", 446},   {"rcmod", 448},
    {"relcl", 447},     {"root", 449},   {"xcomp", 450},
}};

uint64_t eight_bytes(const char* bytes) {
  uint64_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Austin Appleby's MurmurHash64A.
uint64_t murmur_64a(std::string_view text, uint64_t seed) {
  constexpr uint64_t kMultiplier = 0xC6A4A7935BD1E995;
  constexpr int kShift = 47;
  uint64_t hash = seed ^ text.size() * kMultiplier;
  for (; text.size() >= 8; text.remove_prefix(8)) {
    uint64_t part = eight_bytes(text.data()) * kMultiplier;
    part ^= part >> kShift;
    hash = (hash ^ part * kMultiplier) * kMultiplier;
  }
  uint64_t rest = 0;
  for (size_t i = text.size(); i > 0; --i) rest = rest << 8 | uint8_t(text[i - 1]);
  if (!text.empty()) hash = (hash ^ rest) * kMultiplier;
  hash = (hash ^ hash >> kShift) * kMultiplier;
  return hash ^ hash >> kShift;
}

// What spaCy takes for one: quotes, dashes, currencies.
constexpr std::array<std::pair<std::string_view, std::string_view>, 45> kSameNorm = {{
    {"'s", "'s"},  {"'S", "'s"}, {"’s", "'s"}, {"’S", "'s"}, {"’", "'"},   {"‘", "'"},   {"´", "'"},
    {"`", "'"},    {"”", "\""},  {"“", "\""},  {"''", "\""}, {"``", "\""}, {"´´", "\""}, {"„", "\""},
    {"»", "\""},   {"«", "\""},  {"‘‘", "\""}, {"’’", "\""}, {"？", "?"},  {"！", "!"},  {"，", ","},
    {"；", ";"},   {"：", ":"},  {"。", "."},  {"।", "."},   {"…", "..."}, {"—", "-"},   {"–", "-"},
    {"--", "-"},   {"---", "-"}, {"——", "-"},  {"€", "$"},   {"£", "$"},   {"¥", "$"},   {"฿", "$"},
    {"US$", "$"},  {"C$", "$"},  {"A$", "$"},  {"₺", "$"},   {"₹", "$"},   {"৳", "$"},   {"₩", "$"},
    {"Mex$", "$"}, {"₣", "$"},   {"E£", "$"},
}};

// Characters of which Python's str.isdigit() is true, and which are not of the category Nd (Unicode 14): the first and the last
// of each run.
constexpr std::array<std::pair<char32_t, char32_t>, 20> kDigitRuns = {{
    {0xB2, 0xB3},     {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},   {0x2070, 0x2070},
    {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247C},   {0x2488, 0x2490},
    {0x24EA, 0x24EA}, {0x24F5, 0x24FD},   {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},
    {0x278A, 0x2792}, {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A},
}};

bool is_python_digit(char32_t code_point) {
  return utf8proc_category(utf8proc_int32_t(code_point)) == UTF8PROC_CATEGORY_ND ||
         std::any_of(kDigitRuns.begin(), kDigitRuns.end(),
                     [&](const auto& run) { return code_point >= run.first && code_point <= run.second; });
}

// 'X' and 'x' of letters, 'd' of digits, otherwise the character.
char32_t kind_of_character(char32_t code_point) {
  switch (utf8proc_category(utf8proc_int32_t(code_point))) {
    case UTF8PROC_CATEGORY_LU:
      return U'X';
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return U'x';
    default:
      return is_python_digit(code_point) ? U'd' : code_point;
  }
}

bool begins_character(char byte) { return (uint8_t(byte) & 0xC0) != 0x80; }

}  // namespace

uint64_t spacy_string_id(std::string_view text) {
  if (text.empty()) return 0;
  const auto found =
      std::lower_bound(kSymbols.begin(), kSymbols.end(), text,
                       [](const Symbol& symbol, std::string_view name) { return symbol.name < name; });
  if (found != kSymbols.end() && found->name == text) return found->id;
  return murmur_64a(text, 1);
}

std::string spacy_norm(std::string_view word, const SpacyNorms& norms) {
  if (const auto found = norms.find(spacy_string_id(word)); found != norms.end()) return found->second;
  for (const auto& [other, norm] : kSameNorm)
    if (word == other) return std::string(norm);
  return lower(word);
}

std::string_view first_characters(std::string_view text, size_t count) {
  size_t at = 0;
  for (; at < text.size(); ++at)
    if (begins_character(text[at]) && count-- == 0) break;
  return text.substr(0, at);
}

std::string_view last_characters(std::string_view text, size_t count) {
  size_t at = text.size();
  for (; at > 0 && count > 0; count -= begins_character(text[at]) ? 1 : 0) --at;
  return text.substr(at);
}

size_t num_characters(std::string_view text) {
  return size_t(std::count_if(text.begin(), text.end(), begins_character));
}

std::string_view spacy_prefix(std::string_view word) { return first_characters(word, 1); }
std::string_view spacy_suffix(std::string_view word) { return last_characters(word, 3); }

std::string spacy_shape(std::string_view word) {
  constexpr size_t kLong = 100;
  constexpr int kLongestRun = 4;
  if (num_characters(word) >= kLong) return "LONG";
  std::string shape;
  char32_t last = 0;
  int run = 0;
  for (size_t at = 0; at < word.size();) {
    const char32_t kind = kind_of_character(next_code_point(word, at));
    run = at > 0 && kind == last ? run + 1 : 1;
    last = kind;
    if (run <= kLongestRun) append_utf8(shape, kind);
  }
  return shape;
}

bool is_all_space(std::string_view word) {
  for (size_t at = 0; at < word.size();)
    if (!is_space(next_code_point(word, at))) return false;
  return !word.empty();
}

}  // namespace pixart::text
