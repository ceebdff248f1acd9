#include "msgpack.h"

#include <fmt/format.h>

#include <bit>

#include "pixart/base/utf8.h"

namespace pixart::text {
namespace {

constexpr int kDeepest = 64;
constexpr size_t kMostValues = size_t{4} << 20;

class MsgpackReader {
 public:
  explicit MsgpackReader(std::string_view bytes) : bytes_(bytes) {}

  Packed whole() {
    auto value = next(0);
    if (at_ != bytes_.size()) fail("has something after its end");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw PackedError(fmt::format("the MessagePack {} (byte {} of {})", what, at_, bytes_.size()));
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) fail("is cut short");
    const auto part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }
  uint64_t unsigned_of(size_t num_bytes) {
    uint64_t value = 0;
    for (const char byte : take(num_bytes)) value = value << 8 | uint8_t(byte);
    return value;
  }
  Packed integer(uint64_t value) { return {.kind = Packed::Kind::kInteger, .integer = value}; }
  Packed signed_of(size_t num_bytes) {
    const int unused = 64 - 8 * int(num_bytes);
    return integer(uint64_t(int64_t(unsigned_of(num_bytes) << unused) >> unused));
  }
  Packed text(uint64_t count) {
    const auto part = take(count);
    if (!is_utf8(part)) fail("has text that is not UTF-8");
    return {.kind = Packed::Kind::kText, .text = part};
  }
  Packed bytes(uint64_t count) { return {.kind = Packed::Kind::kBytes, .text = take(count)}; }
  Packed items(Packed::Kind kind, uint64_t count, int depth) {
    if (depth >= kDeepest) fail("is nested too deeply");
    if (count > bytes_.size() - at_) fail("is cut short");  // a value has at least one byte
    Packed value{.kind = kind};
    for (uint64_t i = 0; i < count; ++i) value.items.push_back(next(depth + 1));
    return value;
  }
  Packed map(uint64_t count, int depth) {
    if (count > bytes_.size() - at_) fail("is cut short");
    return items(Packed::Kind::kMap, 2 * count, depth);
  }

  Packed next(int depth) {
    if (++num_values_ > kMostValues) fail("has too many values");
    const auto type = uint8_t(take(1)[0]);
    if (type < 0x80) return integer(type);
    if (type < 0x90) return map(type & 0x0F, depth);
    if (type < 0xA0) return items(Packed::Kind::kList, type & 0x0F, depth);
    if (type < 0xC0) return text(type & 0x1F);
    if (type >= 0xE0) return integer(uint64_t(int64_t(int8_t(type))));
    return long_form(type, depth);
  }
  Packed long_form(uint8_t type, int depth) {
    const auto size = [&](uint8_t first) { return size_t{1} << (type - first); };  // of a number or length
    if (type == 0xC0) return {};
    if (type == 0xC2 || type == 0xC3) return {.kind = Packed::Kind::kBool, .integer = type & 1U};
    if (type >= 0xC4 && type <= 0xC6) return bytes(unsigned_of(size(0xC4)));
    if (type == 0xCA) return number(double(std::bit_cast<float>(uint32_t(unsigned_of(4)))));
    if (type == 0xCB) return number(std::bit_cast<double>(unsigned_of(8)));
    if (type >= 0xCC && type <= 0xCF) return integer(unsigned_of(size(0xCC)));
    if (type >= 0xD0 && type <= 0xD3) return signed_of(size(0xD0));
    if (type >= 0xD9 && type <= 0xDB) return text(unsigned_of(size(0xD9)));
    if (type == 0xDC || type == 0xDD) return items(Packed::Kind::kList, unsigned_of(2 * size(0xDC)), depth);
    if (type == 0xDE || type == 0xDF) return map(unsigned_of(2 * size(0xDE)), depth);
    fail("has a value of a kind that is not read");
  }
  static Packed number(double value) { return {.kind = Packed::Kind::kNumber, .number = value}; }

  std::string_view bytes_;
  size_t at_ = 0, num_values_ = 0;
};

template <class IsKey>
const Packed* value_of(const Packed& map, const IsKey& is_key) {
  if (!map.is(Packed::Kind::kMap)) return nullptr;
  for (size_t i = 0; i + 1 < map.items.size(); i += 2)
    if (is_key(map.items[i])) return &map.items[i + 1];
  return nullptr;
}

void expect(const Packed& value, Packed::Kind kind, const char* what) {
  if (!value.is(kind)) throw PackedError(fmt::format("a value is not {}", what));
}

}  // namespace

const Packed* Packed::find(std::string_view key) const {
  return value_of(*this, [&](const Packed& other) {
    return (other.is(Kind::kText) || other.is(Kind::kBytes)) && other.text == key;
  });
}
const Packed* Packed::find(uint64_t key) const {
  return value_of(*this,
                  [&](const Packed& other) { return other.is(Kind::kInteger) && other.integer == key; });
}
const Packed& Packed::at(std::string_view key) const {
  const auto* found = find(key);
  if (found == nullptr) throw PackedError(fmt::format("'{}' is missing", key));
  return *found;
}
const std::vector<Packed>& Packed::list() const {
  expect(*this, Kind::kList, "a list");
  return items;
}
std::string_view Packed::as_text() const {
  expect(*this, Kind::kText, "text");
  return text;
}
std::string_view Packed::as_bytes() const {
  expect(*this, Kind::kBytes, "bytes");
  return text;
}
int64_t Packed::as_integer() const {
  expect(*this, Kind::kInteger, "an integer");
  return int64_t(integer);
}
bool Packed::as_bool() const {
  expect(*this, Kind::kBool, "true or false");
  return integer != 0;
}

Packed read_msgpack(std::string_view bytes) { return MsgpackReader(bytes).whole(); }

}  // namespace pixart::text
