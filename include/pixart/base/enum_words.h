// Enums that people write as words: values of config keys, options of commands, fields of files. The words of
// an enum are listed once, next to the enum, in the order in which messages show them:
//
//   enum class Precision { kFloat32, kBFloat16 };
//   inline EnumWords<Precision> enum_words(Precision) {
//     return {{"float32", Precision::kFloat32}, {"bfloat16", Precision::kBFloat16}};
//   }
#pragma once
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/base/names.h"

namespace pixart {

template <class Enum>
using EnumWords = std::vector<std::pair<const char*, Enum>>;

template <class Enum>
concept HasWords = std::is_enum_v<Enum> && requires(Enum value) {
  enum_words(value);
};

template <HasWords Enum>
std::vector<std::string> words_of_enum() {
  std::vector<std::string> words;
  for (const auto& [word, value] : enum_words(Enum{})) words.emplace_back(word);
  return words;
}

template <HasWords Enum>
std::string word_of(Enum wanted) {
  for (const auto& [word, value] : enum_words(wanted))
    if (value == wanted) return word;
  PIXART_CHECK(false, "value {} of an enum has no word", int(wanted));
}

// Throws UserError that names `what` and lists the known words.
template <HasWords Enum>
Enum enum_of_word(const std::string& wanted, const char* what) {
  for (const auto& [word, value] : enum_words(Enum{}))
    if (wanted == word) return value;
  throw UserError(unknown_name(what, wanted, words_of_enum<Enum>()));
}

}  // namespace pixart
