// NumPy files written by hand, so that each number can lie.
#pragma once
#include <string>

#include "pth_writer.h"

namespace pixart::formats {

struct NpyParts {
  std::string descr = "'<f4'", fortran_order = "False", shape = "(2, 3)";
  std::string data = floats({0, 1, 2, 3, 4, 5});
  int version = 1;

  std::string dictionary() const {
    return "{'descr': " + descr + ", 'fortran_order': " + fortran_order + ", 'shape': " + shape + ", }";
  }
};

inline std::string npy_with_header(const std::string& text, const std::string& data, int version = 1) {
  return "\x93NUMPY" + little_endian(uint64_t(version), 2) +
         little_endian(text.size(), version == 1 ? 2 : 4) + text + data;
}

inline std::string npy_of(const NpyParts& parts) {
  return npy_with_header(parts.dictionary() + "   \n", parts.data, parts.version);
}

// Raw deflate, as zip archives hold it.
inline std::string deflated(const std::string& content) {
  std::string out(content.size() + 64, '\0');
  z_stream zlib = {};
  deflateInit2(&zlib, Z_BEST_SPEED, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  zlib.avail_in = uInt(content.size());
  zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  zlib.avail_out = uInt(out.size());
  EXPECT_EQ(deflate(&zlib, Z_FINISH), Z_STREAM_END);
  out.resize(zlib.total_out);
  deflateEnd(&zlib);
  return out;
}

inline ZipPart deflated_part(const std::string& name, const std::string& content) {
  return {.name = name, .data = deflated(content), .method = 8, .content = content};
}

}  // namespace pixart::formats
