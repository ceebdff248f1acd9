#include "character_map.h"

#include <fmt/format.h>

#include <vector>

#include "pixart/base/bytes.h"
#include "pixart/base/utf8.h"

namespace pixart::text {
namespace {

constexpr size_t kLargestMap = size_t{4} << 20;  // SentencePiece's own maps have up to 300 kB
constexpr size_t kLongestReplacement = 256;      // bytes; Unicode's longest, of U+FDFA, has 33
constexpr size_t kUnitBytes = 4, kUnitsPerBlock = 256;

// The bytes of a map: their number in the trie, the trie, the replacements, each with a NUL at its end.
struct Parts {
  std::string_view trie, replacements;
};

// A cell of the trie, a double array as the Darts-clone library lays it out.
struct Unit {
  uint32_t bits = 0;
  size_t offset() const { return size_t(bits >> 10) << ((bits & (1U << 9)) >> 6); }
  bool ends_a_key() const { return (bits >> 8 & 1) != 0; }
  uint32_t label() const { return bits & 0x8000'00FF; }  // that of a value differs from every byte
  size_t value() const { return bits & 0x7FFF'FFFF; }
};

Unit unit_at(std::string_view trie, size_t at) {
  return {uint32_t(from_little_endian(trie, at * kUnitBytes, kUnitBytes))};
}

std::string damage_of_replacement(std::string_view replacements, size_t at) {
  if (at >= replacements.size()) return fmt::format("its trie points to the replacement at {}", at);
  const std::string_view text = replacements.substr(at, kLongestReplacement + 1);
  const size_t end = text.find('\0');
  if (end == std::string_view::npos)
    return fmt::format("the replacement at {} has no end within {} bytes", at, kLongestReplacement);
  if (!is_utf8(text.substr(0, end))) return fmt::format("the replacement at {} is not valid UTF-8", at);
  return "";
}

// Visits every cell that some text leads to. Labels only change the place inside a block.
std::string damage_of_trie(const Parts& parts) {
  const size_t num_units = parts.trie.size() / kUnitBytes;
  std::vector<bool> seen(num_units, false);
  std::vector<size_t> todo{0};
  while (!todo.empty()) {
    const size_t node = todo.back();
    todo.pop_back();
    const Unit unit = unit_at(parts.trie, node);
    const size_t children = node ^ unit.offset();
    if (children >= num_units) return fmt::format("cell {} of its trie leads out of it", node);
    if (unit.ends_a_key()) {
      auto damage = damage_of_replacement(parts.replacements, unit_at(parts.trie, children).value());
      if (!damage.empty()) return damage;
    }
    for (uint32_t label = 1; label < kUnitsPerBlock; ++label) {
      const size_t child = children ^ label;
      if (seen[child] || unit_at(parts.trie, child).label() != label) continue;
      seen[child] = true;
      todo.push_back(child);
    }
  }
  return "";
}

}  // namespace

std::string damage_of_character_map(std::string_view map) {
  constexpr size_t kBlockBytes = kUnitBytes * kUnitsPerBlock;
  if (map.size() > kLargestMap)
    return fmt::format("it has {} bytes, at most {} are read", map.size(), kLargestMap);
  if (map.size() < kUnitBytes) return fmt::format("it has only {} bytes", map.size());
  const size_t trie_bytes = from_little_endian(map, 0, kUnitBytes);
  map.remove_prefix(kUnitBytes);
  if (trie_bytes == 0 || trie_bytes % kBlockBytes != 0 || trie_bytes >= map.size())
    return fmt::format("its trie has {} bytes, expected a multiple of {} below {}", trie_bytes, kBlockBytes,
                       map.size());
  return damage_of_trie({map.substr(0, trie_bytes), map.substr(trie_bytes)});
}

}  // namespace pixart::text
