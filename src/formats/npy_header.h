// The header of a NumPy array file, without LibTorch: magic number, version, and a Python dictionary as text.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pixart::formats {

// Gives the next bytes of the array file, wherever it lies.
using ReadNext = std::function<void(void* to, uint64_t count)>;

struct NpyHeader {
  std::string dtype = {};   // kind and bytes of an element: b1, i1 to i8, u1 to u8, f2, f4, f8, c8
  bool is_fortran = false;  // the first index runs fastest
  std::vector<int64_t> shape = {};
  uint64_t data_bytes = 0;  // all that follows, and what the shape needs
};

// Reads up to the data of an array file of `bytes` bytes. Throws UserError about `name` with offset and
// reason.
NpyHeader read_npy_header(const ReadNext& next, uint64_t bytes, const std::string& name);

}  // namespace pixart::formats
