#include "sentencepiece_model.h"

#include <bit>
#include <optional>

#include "character_map.h"
#include "pixart/base/bytes.h"
#include "special_ids.h"

namespace pixart::text {
namespace {

// Protocol buffers' wire format. Debian's package of SentencePiece has no header for its messages; the
// numbers of fields below are those of its sentencepiece_model.proto.
enum class Wire : uint64_t { kNumber = 0, kBytes = 2, kFloat = 5 };

void append_varint(std::string& message, uint64_t value) {
  for (; value > 127; value >>= 7) message += char((value & 127) | 128);
  message += char(value);
}

void append_key(std::string& message, uint64_t field, Wire wire) {
  append_varint(message, field << 3 | uint64_t(wire));
}

void append_number(std::string& message, uint64_t field, int64_t value) {
  append_key(message, field, Wire::kNumber);
  append_varint(message, uint64_t(value));
}

void append_bytes(std::string& message, uint64_t field, std::string_view bytes) {
  append_key(message, field, Wire::kBytes);
  append_varint(message, bytes.size());
  message += bytes;
}

void append_float(std::string& message, uint64_t field, float value) {
  append_key(message, field, Wire::kFloat);
  message += little_endian(std::bit_cast<uint32_t>(value), 4);
}

enum PieceType : int64_t { kNormalPiece = 1, kUnknownPiece = 2, kControlPiece = 3 };

PieceType type_of(int64_t id) {
  if (id == kUnknownId) return kUnknownPiece;
  return id == kPadId || id == kEndId ? kControlPiece : kNormalPiece;
}

std::string piece_message(const UnigramSegmenter::Piece& piece) {
  std::string message;
  append_bytes(message, 1, piece.text);
  append_float(message, 2, piece.score);
  append_number(message, 3, type_of(piece.id));
  return message;
}

std::string trainer_message() {
  constexpr int64_t kUnigram = 1, kNone = -1;
  std::string message;
  append_number(message, 3, kUnigram);
  append_number(message, 40, kUnknownId);
  append_number(message, 41, kNone);  // the token before a text
  append_number(message, 42, kEndId);
  append_number(message, 43, kPadId);
  return message;
}

std::string normalizer_message(std::string_view character_map) {
  std::string message;
  append_bytes(message, 2, character_map);
  append_number(message, 3, 1);  // add_dummy_prefix
  append_number(message, 4, 1);  // remove_extra_whitespaces
  append_number(message, 5, 1);  // escape_whitespaces
  return message;
}

// A field of a message: of a number only the key is of use here.
struct MessageField {
  uint64_t number = 0;
  std::string_view bytes = {};
};

// Takes a number from the front; nullopt at the end or if it has more than 64 bits.
std::optional<uint64_t> take_varint(std::string_view& message) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !message.empty(); shift += 7) {
    const auto byte = uint8_t(message.front());
    message.remove_prefix(1);
    value |= uint64_t(byte & 127) << shift;
    if (byte < 128) return value;
  }
  return std::nullopt;
}

std::optional<uint64_t> size_of_field(uint64_t wire, std::string_view& message) {
  constexpr uint64_t kNumber = 0, kEightBytes = 1, kBytes = 2, kFourBytes = 5;
  if (wire == kNumber) return take_varint(message) ? std::optional<uint64_t>(0) : std::nullopt;
  if (wire == kBytes) return take_varint(message);
  if (wire == kEightBytes) return 8;
  return wire == kFourBytes ? std::optional<uint64_t>(4) : std::nullopt;
}

// Takes a field from the front; nullopt at the end, and where the bytes are no field.
std::optional<MessageField> take_field(std::string_view& message) {
  const auto key = take_varint(message);
  if (!key) return std::nullopt;
  const auto size = size_of_field(*key & 7, message);
  if (!size || *size > message.size()) return std::nullopt;
  const MessageField field{*key >> 3, message.substr(0, size_t(*size))};
  message.remove_prefix(size_t(*size));
  return field;
}

}  // namespace

std::string damage_of_character_maps(std::string_view model) {
  constexpr uint64_t kNormalizer = 3, kDenormalizer = 5, kCharacterMap = 2;
  while (const auto part = take_field(model)) {
    if (part->number != kNormalizer && part->number != kDenormalizer) continue;
    std::string_view rules = part->bytes;
    while (const auto rule = take_field(rules)) {
      if (rule->number != kCharacterMap || rule->bytes.empty()) continue;
      if (auto damage = damage_of_character_map(rule->bytes); !damage.empty()) return damage;
    }
  }
  return "";
}

std::string sentencepiece_model(const std::vector<UnigramSegmenter::Piece>& pieces,
                                std::string_view character_map) {
  std::string model;
  for (const auto& piece : pieces) append_bytes(model, 1, piece_message(piece));
  append_bytes(model, 2, trainer_message());
  append_bytes(model, 3, normalizer_message(character_map));
  return model;
}

}  // namespace pixart::text
