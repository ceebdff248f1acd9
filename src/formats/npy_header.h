// The header of a NumPy array file, without LibTorch: magic number, version, and a Python dictionary as text.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pixart::formats {

// Returns the next bytes of the array file, which may be inside an archive.
using ReadNext = std::function<void(void* to, uint64_t count)>;

struct NpyHeader {
  std::string dtype = {};   // kind and bytes of an element: b1, i1 to i8, u1 to u8, f2, f4, f8, c8
  bool is_fortran = false;  // the first index varies fastest
  std::vector<int64_t> shape = {};
  uint64_t data_bytes = 0;  // the rest of the file, which is exactly the size that the shape needs
};

// Reads an array file of `bytes` bytes up to the data. Throws UserError about `name` with offset and reason.
NpyHeader read_npy_header(const ReadNext& next, uint64_t bytes, const std::string& name);

// The header of a row-major array as numpy writes it; `dtype` with its byte order, "<f4" or "|u1".
std::string npy_header(const std::string& dtype, const std::vector<int64_t>& shape);

}  // namespace pixart::formats
