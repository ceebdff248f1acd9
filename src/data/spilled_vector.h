// Lists of millions of plain values, for sources of any size. Up to a mebibyte they are in memory; after that in a file
// without a name, in the folder for temporary files, which the system writes out and reads again as it needs the memory.
// Where the file cannot be made, or its disk is full, they stay in memory.
#pragma once
#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pixart::data {

class SpilledBytes {
 public:
  static constexpr size_t kMostInMemory = size_t{1} << 20;

  explicit SpilledBytes(size_t most_in_memory = kMostInMemory) : most_in_memory_(most_in_memory) {}
  ~SpilledBytes() { release(); }
  SpilledBytes(SpilledBytes&& other) noexcept { swap(other); }
  SpilledBytes& operator=(SpilledBytes&& other) noexcept;
  char* data() const { return data_; }
  size_t capacity() const { return capacity_; }
  void reserve(size_t bytes);  // keeps what it holds
  bool is_in_file() const { return descriptor_ >= 0; }

 private:
  void swap(SpilledBytes& other) noexcept;
  void release() noexcept;
  bool grow_file(size_t bytes);
  void grow_memory(size_t bytes);

  size_t most_in_memory_ = kMostInMemory;
  char* data_ = nullptr;
  size_t capacity_ = 0;
  int descriptor_ = -1;
  bool can_spill_ = true;
};

// A file that nobody else sees, in the folder for temporary files; -1 if there cannot be one.
int open_nameless_file();

template <class Value>
class SpilledVector {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  SpilledVector() = default;
  explicit SpilledVector(size_t size) { resize(size); }
  SpilledVector(SpilledVector&& other) noexcept
      : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
  SpilledVector& operator=(SpilledVector&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Value* data() { return reinterpret_cast<Value*>(bytes_.data()); }
  const Value* data() const { return reinterpret_cast<const Value*>(bytes_.data()); }
  Value* begin() { return data(); }
  Value* end() { return data() + size_; }
  const Value* begin() const { return data(); }
  const Value* end() const { return data() + size_; }
  Value& operator[](size_t i) { return data()[i]; }
  const Value& operator[](size_t i) const { return data()[i]; }
  Value& back() { return data()[size_ - 1]; }
  operator std::span<const Value>() const { return {data(), size_}; }
  std::string_view view() const requires std::is_same_v<Value, char> { return {data(), size_}; }

  void push_back(const Value& value) {
    const Value copy = value;  // it may be one of these
    reserve(size_ + 1);
    data()[size_++] = copy;
  }
  void append(std::span<const Value> values) {
    reserve(size_ + values.size());
    std::copy(values.begin(), values.end(), end());
    size_ += values.size();
  }
  void resize(size_t size) {
    reserve(size);
    if (size > size_) std::fill(end(), data() + size, Value{});
    size_ = size;
  }
  void reserve(size_t size) {
    if (size * sizeof(Value) > bytes_.capacity())
      bytes_.reserve(std::max(size * sizeof(Value), bytes_.capacity() + bytes_.capacity() / 2));
  }

 private:
  SpilledBytes bytes_;
  size_t size_ = 0;
};

}  // namespace pixart::data
