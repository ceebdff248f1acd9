// A reader of MessagePack (msgpack.org). Keys of a map may be of any kind, as those of Python's dictionaries, which
// nlohmann::json does not read.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::text {

struct Packed {
  enum class Kind { kNil, kBool, kInteger, kNumber, kText, kBytes, kList, kMap };
  Kind kind = Kind::kNil;
  uint64_t integer = 0;            // also of kBool; a negative one in two's complement
  double number = 0;               // of kNumber
  std::string_view text = {};      // of kText (valid UTF-8) and kBytes: a part of the input
  std::vector<Packed> items = {};  // of kList; of kMap: key, value, key, value, ...

  bool is(Kind wanted) const { return kind == wanted; }
  // The value under a key, which may be text or bytes; null if there is none, or if this is not a map.
  const Packed* find(std::string_view key) const;
  const Packed* find(uint64_t key) const;

  // The same, for values that must be there. They throw PackedError.
  const Packed& at(std::string_view key) const;
  const std::vector<Packed>& list() const;
  std::string_view as_text() const;
  std::string_view as_bytes() const;
  int64_t as_integer() const;
  bool as_bool() const;
};

class PackedError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The one value of `bytes`, which must outlive it. Throws PackedError if they are damaged, hold more than 4 million values,
// or are more than 64 levels deep.
Packed read_msgpack(std::string_view bytes);

}  // namespace pixart::text
