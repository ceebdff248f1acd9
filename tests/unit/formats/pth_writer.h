// PyTorch files written by hand, so that each number can lie.
#pragma once
#include <zlib.h>

#include <string>
#include <utility>
#include <vector>

#include "folder.h"

namespace pixart::formats {

struct ZipPart {
  std::string name, data;
  uint32_t crc_error = 0;       // added to the true CRC-32
  uint16_t method = 0;          // 0: stored
  std::string extra = {};       // of the central entry
  std::string local_name = {};  // if it differs
  bool is_huge = false;         // the central entry says "see the 64-bit field" for its sizes
  std::string content = {};     // what `data` inflates to, where it is deflated
  uint64_t bytes_error = 0;     // added to the true size of the content
};

inline std::string zip_of(const std::vector<ZipPart>& parts) {
  std::string out, directory;
  for (const auto& part : parts) {
    const std::string& content = part.content.empty() ? part.data : part.content;
    const auto crc =
        uint32_t(crc32(0, reinterpret_cast<const Bytef*>(content.data()), uInt(content.size()))) +
        part.crc_error;
    const std::string local_name = part.local_name.empty() ? part.name : part.local_name;
    const std::string common =
        little_endian(0, 2) + little_endian(part.method, 2) + little_endian(0, 4) + little_endian(crc, 4);
    const std::string sizes =
        little_endian(part.data.size(), 4) + little_endian(content.size() + part.bytes_error, 4);
    directory += "PK\1\2" + little_endian(0, 4) + common + (part.is_huge ? std::string(8, '\xff') : sizes) +
                 little_endian(part.name.size(), 2) + little_endian(part.extra.size(), 2) +
                 little_endian(0, 10) + little_endian(out.size(), 4) + part.name + part.extra;
    out += "PK\3\4" + little_endian(0, 2) + common + sizes + little_endian(local_name.size(), 2) +
           little_endian(0, 2) + local_name + part.data;
  }
  const std::string end = "PK\5\6" + little_endian(0, 4) + little_endian(parts.size(), 2) +
                          little_endian(parts.size(), 2) + little_endian(directory.size(), 4) +
                          little_endian(out.size(), 4) + little_endian(0, 2);
  return out + directory + end;
}

inline std::string text_op(const std::string& text) { return "X" + little_endian(text.size(), 4) + text; }
inline std::string global_op(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string integer_op(int64_t value) { return "\x8a\x08" + little_endian(uint64_t(value), 8); }
inline std::string tuple_op(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += integer_op(value);
  return out + "t";
}

struct TensorOps {
  std::string key = "0", type = "FloatStorage";
  int64_t numel = 6, offset = 0;
  std::vector<int64_t> sizes = {2, 3}, strides = {3, 1};

  std::string storage() const {
    return "(" + text_op("storage") + global_op("torch", type) + text_op(key) + text_op("cpu") +
           integer_op(numel) + "tQ";
  }
  std::string str() const {
    return global_op("torch._utils", "_rebuild_tensor_v2") + "(" + storage() + integer_op(offset) +
           tuple_op(sizes) + tuple_op(strides) + "\x89" + global_op("collections", "OrderedDict") + ")RtR";
  }
};

// {name: value, ...} of protocol 2.
inline std::string dict_pickle(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "\x80\x02}(";
  for (const auto& [name, ops] : items) out += text_op(name) + ops;
  return out + "u.";
}

inline std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

inline std::string pth_of(const std::string& pickle,
                          const std::vector<std::pair<std::string, std::string>>& storages) {
  std::vector<ZipPart> parts = {{"archive/data.pkl", pickle}, {"archive/byteorder", "little"}};
  for (const auto& [key, bytes] : storages) parts.push_back({"archive/data/" + key, bytes});
  parts.push_back({"archive/version", "3\n"});
  return zip_of(parts);
}

}  // namespace pixart::formats
