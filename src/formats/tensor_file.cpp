#include "pixart/formats/tensor_file.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/safetensors.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

const std::vector<std::pair<std::string, at::ScalarType>>& dtype_table() {
  static const std::vector<std::pair<std::string, at::ScalarType>> table = {
      {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}, {"I64", at::kLong}, {"I32", at::kInt},
      {"I16", at::kShort}, {"I8", at::kChar}, {"U8", at::kByte}, {"BOOL", at::kBool}, {"F8_E4M3", at::kFloat8_e4m3fn},
      {"F8_E5M2", at::kFloat8_e5m2}, {"F8_E4M3FNUZ", at::kFloat8_e4m3fnuz}, {"F8_E5M2FNUZ", at::kFloat8_e5m2fnuz},
      {"U16", at::kUInt16}, {"U32", at::kUInt32}, {"U64", at::kUInt64}};
  return table;
}

at::ScalarType scalar_type(const std::string& dtype) {
  for (const auto& [name, type] : dtype_table())
    if (name == dtype) return type;
  PIXART_CHECK(false, "dtype {} passed the header check", dtype);
}

std::string dtype_name(at::ScalarType type) {
  for (const auto& [name, known] : dtype_table())
    if (known == type) return name;
  throw UserError(fmt::format("tensors of type {} cannot be stored in a safetensors file.", c10::toString(type)));
}

struct InputFile {
  explicit InputFile(const fs::path& file) : path(file), descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor < 0) throw UserError(fmt::format("cannot read {}: {}.", path.string(), std::strerror(errno)));
  }
  ~InputFile() { ::close(descriptor); }
  void read(void* to, uint64_t bytes, uint64_t offset) const {
    auto* out = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t count = ::pread(descriptor, out, std::min<uint64_t>(bytes, 1 << 30), off_t(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) throw UserError(fmt::format("cannot read {} at byte {}: {}.", path.string(), offset, count < 0 ? std::strerror(errno) : "the file ended early"));
      out += count, offset += uint64_t(count), bytes -= uint64_t(count);
    }
  }
  fs::path path;
  int descriptor;
};

void check_bools(const at::Tensor& tensor, const std::string& name, const fs::path& path) {
  const auto* bytes = static_cast<const uint8_t*>(tensor.const_data_ptr());
  if (std::any_of(bytes, bytes + tensor.numel(), [](uint8_t byte) { return byte > 1; }))
    throw UserError(fmt::format("{}: BOOL tensor '{}' holds bytes other than 0 and 1.", path.string(), name));
}

struct Entry {
  const NamedTensor* source;
  std::string dtype;
  uint64_t bytes;
};

// The reference library's order: larger types first, then by name.
std::vector<Entry> order_entries(const std::vector<NamedTensor>& tensors) {
  std::vector<Entry> entries;
  for (const auto& named : tensors) {
    PIXART_CHECK(named.name != "__metadata__" && named.tensor.defined(), "tensor '{}'", named.name);
    entries.push_back({&named, dtype_name(named.tensor.scalar_type()), uint64_t(named.tensor.numel()) * named.tensor.element_size()});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    const int bits_a = dtype_bits(a.dtype), bits_b = dtype_bits(b.dtype);
    return bits_a != bits_b ? bits_a > bits_b : a.source->name < b.source->name;
  });
  return entries;
}

std::string header_of(const std::vector<Entry>& entries, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = {{"__metadata__", metadata}};
  uint64_t at = 0;
  for (const auto& entry : entries) {
    PIXART_CHECK(!header.contains(entry.source->name), "tensor '{}' twice", entry.source->name);
    header[entry.source->name] = {{"dtype", entry.dtype}, {"shape", entry.source->tensor.sizes().vec()}, {"data_offsets", {at, at + entry.bytes}}};
    at += entry.bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string head(8, '\0');
  for (int i = 0; i < 8; ++i) head[size_t(i)] = char(uint64_t(text.size()) >> (8 * i));
  return head + text;
}

}  // namespace

TensorFile load_safetensors(const fs::path& path) {
  const auto header = read_safetensors_header(path);
  const InputFile file(path);
  TensorFile result;
  result.metadata = header.metadata;
  for (const auto& [name, info] : header.tensors) {
    at::Tensor tensor = at::empty(info.shape, at::TensorOptions().dtype(scalar_type(info.dtype)));
    if (tensor.numel() > 0) file.read(tensor.mutable_data_ptr(), info.end - info.begin, header.data_offset + info.begin);
    if (info.dtype == "BOOL") check_bools(tensor, name, path);
    result.tensors.emplace(name, std::move(tensor));
  }
  return result;
}

void save_safetensors(const fs::path& path, const std::vector<NamedTensor>& tensors, std::map<std::string, std::string> metadata) {
  metadata.emplace("format", "pt");
  const auto entries = order_entries(tensors);
  AtomicFile file(path);
  file.write(header_of(entries, metadata));
  for (const auto& entry : entries) {
    const at::Tensor tensor = entry.source->tensor.detach().to(at::kCPU).contiguous();
    file.write({static_cast<const char*>(tensor.const_data_ptr()), size_t(entry.bytes)});
  }
  file.commit();
}

}  // namespace pixart::formats
