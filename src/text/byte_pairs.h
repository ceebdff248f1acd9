// Byte-pair encoding: the bytes of a word, and then the pair of neighbours that was joined first in training, as
// long as there is one.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pixart::text {

// What a vocabulary of CLIP holds.
struct ClipVocabulary {
  std::unordered_map<std::string, int64_t> ids;             // by the text of a token in the file
  std::vector<std::pair<std::string, std::string>> merges;  // in the order of training
};

inline constexpr std::string_view kEndOfWord = "</w>";

// The character that represents a byte in the files: printable bytes are themselves in Latin-1, the others
// follow from U+0100.
std::string byte_symbol(uint8_t byte);

class BytePairs {
 public:
  BytePairs() = default;
  // Throws UserError about `name` if a byte or a part or the result of a merge has no id.
  BytePairs(const ClipVocabulary& vocabulary, const std::string& name);
  // Appends the tokens of a word, in time n log n.
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

 private:
  struct Merge {
    int64_t rank = 0, result = 0;
  };
  const Merge* merge_of(int64_t left, int64_t right) const;

  std::array<int64_t, 256> inner_{}, last_{};   // ids of a byte inside a word, and of the last one
  std::unordered_map<uint64_t, Merge> merges_;  // by both ids
};

}  // namespace pixart::text
