#include "pixart/formats/safetensors.h"

#include <algorithm>
#include <string_view>

#include "dtypes.h"
#include "input_file.h"
#include "json_cursor.h"
#include "likely_content.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

constexpr uint64_t kLargestHeader = 100'000'000;
constexpr size_t kLargestRank = 16, kMostTensors = 1'000'000, kMostMetadata = 100'000, kLongestName = 4096;

std::vector<int64_t> read_shape(JsonCursor& json) {
  std::vector<int64_t> shape;
  json.list([&] {
    if (shape.size() == kLargestRank) json.fail(fmt::format("more than {} dimensions", kLargestRank));
    shape.push_back(int64_t(json.integer()));
  });
  return shape;
}

// The format has more types than LibTorch (F4, F6_E2M3, F6_E3M2: parts of a byte).
const char* kind_of_unknown(const std::string& dtype) {
  const bool is_small = dtype.starts_with("F4") || dtype.starts_with("F6") || dtype.starts_with("I4") ||
                        dtype.starts_with("U4");
  return is_small ? "smaller than a byte and not supported" : "not known";
}

uint64_t bytes_of(JsonCursor& json, const std::string& name, const TensorInfo& info) {
  const int bits = dtype_bits(info.dtype);
  if (bits == 0)
    json.fail(fmt::format("tensor {} has the type {}, which is {}. Bring the weights in F32, F16 or BF16",
                          shown(name), shown(info.dtype), kind_of_unknown(info.dtype)));
  const auto bytes = array_bytes(info.shape, bits / 8);
  if (!bytes) json.fail(fmt::format("the shape of tensor {} is too large", shown(name)));
  return *bytes;
}

TensorInfo read_tensor(JsonCursor& json, const std::string& name) {
  TensorInfo info;
  int num_fields = 0;
  json.object(fmt::format("tensor {}: field", shown(name)), [&](const std::string& field) {
    ++num_fields;
    if (field == "dtype") {
      info.dtype = json.string();
    } else if (field == "shape") {
      info.shape = read_shape(json);
    } else if (field == "data_offsets") {
      json.expect('[');
      info.begin = json.integer();
      json.expect(',');
      info.end = json.integer();
      json.expect(']');
    } else {
      json.fail(fmt::format("tensor {} has an unknown field {}", shown(name), shown(field)));
    }
  });
  if (num_fields != 3) json.fail(fmt::format("tensor {} needs dtype, shape and data_offsets", shown(name)));
  if (info.end < info.begin) json.fail(fmt::format("tensor {} ends before it begins", shown(name)));
  if (const uint64_t bytes = bytes_of(json, name, info); info.end - info.begin != bytes) {
    json.fail(fmt::format("tensor {} occupies {} bytes, its shape needs {}", shown(name),
                          info.end - info.begin, bytes));
  }
  return info;
}

std::map<std::string, std::string> read_metadata(JsonCursor& json) {
  std::map<std::string, std::string> metadata;
  json.object("metadata key", [&](const std::string& key) {
    metadata[key] = json.string();
    if (metadata.size() > kMostMetadata) json.fail(fmt::format("more than {} metadata keys", kMostMetadata));
  });
  return metadata;
}

void check_name(JsonCursor& json, const std::string& name) {
  if (name.size() > kLongestName)
    json.fail(fmt::format("a tensor name has more than {} bytes", kLongestName));
  for (const char c : name) {
    if (uint8_t(c) < 0x20 || c == 0x7F) json.fail("a tensor name has a control character");
  }
}

// The tensors must fill the data section from 0 to its end, without holes or overlap.
void check_tiling(JsonCursor& json, const SafetensorsHeader& header) {
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  for (const auto& [name, info] : header.tensors) spans.emplace_back(info.begin, info.end);
  std::sort(spans.begin(), spans.end());
  uint64_t at = 0;
  for (const auto& [begin, end] : spans) {
    if (begin != at) json.fail(fmt::format("the tensors have a gap or an overlap at data byte {}", at));
    at = end;
  }
  const uint64_t data_bytes = header.file_bytes - header.data_offset;
  if (at != data_bytes) {
    json.fail(
        fmt::format("the tensors end at data byte {}, the file has {}: it is cut off or has extra bytes", at,
                    data_bytes));
  }
}

uint64_t header_length(std::string_view head, uint64_t file_bytes, const std::string& name) {
  if (file_bytes < 8 || head.size() < 8) {
    throw UserError(fmt::format("{}: only {} bytes; a safetensors file has at least 8.", name, file_bytes));
  }
  const uint64_t length = from_little_endian(head, 0, 8);
  if (length > kLargestHeader) {
    throw UserError(fmt::format(
        "{}: byte 0: a header of {} bytes is over the limit of {}. The file is not a safetensors file.{}",
        name, length, kLargestHeader,
        head.starts_with("version ") ? " It is a Git LFS pointer: run `git lfs pull`." : ""));
  }
  if (length > file_bytes - 8) {
    throw UserError(
        fmt::format("{}: byte 0: a header of {} bytes does not fit into {} bytes. The file is cut off or not "
                    "a safetensors file.",
                    name, length, file_bytes));
  }
  return length;
}

}  // namespace

int dtype_bits(const std::string& dtype) {
  for (const auto& known : kDtypes) {
    if (known.name == dtype) return known.bits;
  }
  return 0;
}

SafetensorsHeader parse_safetensors_header(std::string_view head, uint64_t file_bytes,
                                           const std::string& name) {
  const uint64_t length = header_length(head, file_bytes, name);
  PIXART_CHECK(head.size() >= 8 + length, "head of {} bytes", head.size());
  const std::string_view text = head.substr(8, size_t(length));
  JsonCursor json(text, name, 8, "a safetensors file");
  if (text.empty() || text.front() != '{') json.fail("the header must begin with '{'");
  SafetensorsHeader header;
  header.data_offset = 8 + length;
  header.file_bytes = file_bytes;
  json.object("tensor", [&](const std::string& key) {
    check_name(json, key);
    if (key == "__metadata__")
      header.metadata = read_metadata(json);
    else
      header.tensors.emplace(key, read_tensor(json, key));
    if (header.tensors.size() > kMostTensors) json.fail(fmt::format("more than {} tensors", kMostTensors));
  });
  json.end();
  check_tiling(json, header);
  return header;
}

namespace {

// An error page or the pointer of git LFS is named as what it is; its first bytes are not the length of a header.
void check_content(const InputFile& file) {
  const std::string head = file.read(std::min<uint64_t>(file.bytes(), 512), 0);
  const bool may_be_header = head.size() > 8 && head[8] == '{';
  if (head.empty()) throw UserError(fmt::format("{}: the file is empty.", file.name()));
  if (!may_be_header && !likely_content(head).empty())
    throw UserError(
        fmt::format("{}: {}. Fetch the file again.", file.name(), not_but(file, "a safetensors file")));
}

}  // namespace

SafetensorsHeader read_safetensors_header(const std::filesystem::path& path) {
  const InputFile file(path);
  check_content(file);
  const uint64_t length =
      header_length(file.read(std::min<uint64_t>(file.bytes(), 8), 0), file.bytes(), file.name());
  return parse_safetensors_header(file.read(8 + length, 0), file.bytes(), file.name());
}

}  // namespace pixart::formats
