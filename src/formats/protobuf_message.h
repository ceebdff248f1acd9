// Writes a protobuf message by hand: the added fields, in order. libprotobuf must not be loaded into
// LibTorch's process, which already has its symbols in another version.
#pragma once
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "pixart/base/bytes.h"
#include "pixart/base/utf8.h"

namespace pixart::formats {

class ProtobufMessage {
 public:
  ProtobufMessage& integer(int field, int64_t value) {
    key(field, kVarint);
    varint(uint64_t(value));
    return *this;
  }
  ProtobufMessage& real64(int field, double value) {
    key(field, kFixed64);
    fixed(std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  ProtobufMessage& real32(int field, float value) {
    key(field, kFixed32);
    fixed(std::bit_cast<uint32_t>(value), 4);
    return *this;
  }
  // Readers refuse a whole message because of one byte that is not UTF-8.
  ProtobufMessage& text(int field, std::string_view value) {
    return bytes(field, replace_invalid_utf8(value));
  }
  ProtobufMessage& bytes(int field, std::string_view value) {
    key(field, kBytes);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  ProtobufMessage& message(int field, const ProtobufMessage& value) { return bytes(field, value.bytes_); }

  const std::string& encoded() const { return bytes_; }

 private:
  enum Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  void key(int field, Wire wire) { varint(uint64_t(field) << 3 | wire); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += char(value | 0x80);
    bytes_ += char(value);
  }
  void fixed(uint64_t value, int size) { bytes_ += little_endian(value, size); }

  std::string bytes_;
};

}  // namespace pixart::formats
