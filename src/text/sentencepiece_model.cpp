#include "sentencepiece_model.h"

#include <bit>

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

}  // namespace

std::string sentencepiece_model(const std::vector<UnigramSegmenter::Piece>& pieces,
                                std::string_view character_map) {
  std::string model;
  for (const auto& piece : pieces) append_bytes(model, 1, piece_message(piece));
  append_bytes(model, 2, trainer_message());
  append_bytes(model, 3, normalizer_message(character_map));
  return model;
}

}  // namespace pixart::text
