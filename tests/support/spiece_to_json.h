// A tokenizer.json as transformers writes it from a spiece.model.
#pragma once
#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "pixart/base/base64.h"
#include "pixart/base/bytes.h"

namespace pixart::testing {

// visit(number, content) for each field of a message of protocol buffers.
template <class Visit>
void for_each_field(std::string_view message, Visit visit) {
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = uint8_t(message.at(at++));
      value |= uint64_t(byte & 127U) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.size()) {
    const uint64_t key = varint(), wire = key & 7;
    size_t length = wire == 5 ? 4 : wire == 1 ? 8 : 0;
    if (wire == 0) varint();
    if (wire == 2) length = varint();
    visit(key >> 3, message.substr(at, length));
    at += length;
  }
}

struct SpieceParts {
  nlohmann::json vocabulary = nlohmann::json::array();  // [piece, score]
  std::string character_map;
};

inline SpieceParts parts_of(std::string_view spiece) {
  SpieceParts parts;
  for_each_field(spiece, [&](uint64_t field, std::string_view content) {
    std::string text;
    float score = 0;
    for_each_field(field == 1 || field == 3 ? content : "", [&](uint64_t inner, std::string_view value) {
      if (field == 1 && inner == 1) text = value;
      if (field == 1 && inner == 2) score = std::bit_cast<float>(uint32_t(from_little_endian(value, 0, 4)));
      if (field == 3 && inner == 2) parts.character_map = value;
    });
    if (field == 1) parts.vocabulary.push_back({text, double(score)});
  });
  return parts;
}

inline nlohmann::json added_token(int64_t id, const std::string& text) {
  const bool is_sentinel = text.starts_with("<extra_id_");
  return {{"id", id},
          {"content", text},
          {"single_word", false},
          {"lstrip", is_sentinel},
          {"rstrip", is_sentinel},
          {"normalized", false},
          {"special", true}};
}

// With the sentinels among the pieces, <extra_id_0> last.
inline nlohmann::json tokenizer_json(std::string_view spiece, int64_t extra_ids = 100) {
  auto file = nlohmann::json::parse(R"({
    "version": "1.0", "truncation": {"max_length": 5}, "padding": {"pad_id": 7},
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Precompiled", "precompiled_charsmap": ""},
      {"type": "Strip", "strip_left": false, "strip_right": true},
      {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
      "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
    "model": {"type": "Unigram", "unk_id": 2, "byte_fallback": false}})");
  SpieceParts parts = parts_of(spiece);
  auto& added = file["added_tokens"];
  for (const auto& [id, text] : {std::pair{0, "<pad>"}, std::pair{1, "</s>"}, std::pair{2, "<unk>"}})
    added.push_back(added_token(id, text));
  for (int64_t k = extra_ids - 1; k >= 0; --k) {
    const std::string text = "<extra_id_" + std::to_string(k) + ">";
    added.push_back(added_token(int64_t(parts.vocabulary.size()), text));
    parts.vocabulary.push_back({text, 0.0});
  }
  file["normalizer"]["normalizers"][0]["precompiled_charsmap"] = to_base64(parts.character_map);
  file["model"]["vocab"] = std::move(parts.vocabulary);
  return file;
}

}  // namespace pixart::testing
