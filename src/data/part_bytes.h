// Numbers, texts and lists of plain values as bytes, in the form of this machine: what processes of one program pass to each
// other through files.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace pixart::data {

struct DamagedPart {};  // thrown by PartReader: the bytes end before what they announce

class PartWriter {
 public:
  template <class Value>
  void values(std::span<const Value> all) {
    static_assert(std::is_trivially_copyable_v<Value>);
    number(all.size());
    bytes_.append(reinterpret_cast<const char*>(all.data()), all.size_bytes());
  }
  void number(uint64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void text(std::string_view text) { values(std::span<const char>(text)); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class PartReader {
 public:
  explicit PartReader(std::string_view bytes) : rest_(bytes) {}
  uint64_t number() {
    uint64_t value = 0;
    copy(&value, 1);
    return value;
  }
  // A number of values that follow, each of at least `least` bytes.
  size_t count(size_t least = 1) {
    const uint64_t count = number();
    if (count > rest_.size() / least) throw DamagedPart();
    return size_t(count);
  }
  std::string_view text() {
    const auto found = rest_.substr(0, count());
    rest_.remove_prefix(found.size());
    return found;
  }
  // Appends to a list that has append() of a span, or insert().
  template <class Value, class List>
  void values(List& list) {
    const size_t size = count(sizeof(Value)), before = list.size();
    list.resize(before + size);
    copy(list.data() + before, size);
  }
  bool is_at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

 private:
  template <class Value>
  void copy(Value* values, size_t count) {
    if (rest_.size() < count * sizeof(Value)) throw DamagedPart();
    if (count > 0) std::memcpy(static_cast<void*>(values), rest_.data(), count * sizeof(Value));
    rest_.remove_prefix(count * sizeof(Value));
  }
  std::string_view rest_;
};

}  // namespace pixart::data
