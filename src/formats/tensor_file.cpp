#include "pixart/formats/tensor_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "dtypes.h"
#include "input_file.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/safetensors.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

using DtypePair = std::pair<std::string_view, at::ScalarType>;

// Every name of kDtypes.
constexpr DtypePair kScalarTypes[] = {{"BOOL", at::kBool},
                                      {"U8", at::kByte},
                                      {"I8", at::kChar},
                                      {"F8_E5M2", at::kFloat8_e5m2},
                                      {"F8_E4M3", at::kFloat8_e4m3fn},
                                      {"F8_E8M0", at::kFloat8_e8m0fnu},
                                      {"F8_E4M3FNUZ", at::kFloat8_e4m3fnuz},
                                      {"F8_E5M2FNUZ", at::kFloat8_e5m2fnuz},
                                      {"I16", at::kShort},
                                      {"U16", at::kUInt16},
                                      {"F16", at::kHalf},
                                      {"BF16", at::kBFloat16},
                                      {"I32", at::kInt},
                                      {"U32", at::kUInt32},
                                      {"F32", at::kFloat},
                                      {"C64", at::kComplexFloat},
                                      {"F64", at::kDouble},
                                      {"I64", at::kLong},
                                      {"U64", at::kUInt64}};
static_assert(std::size(kScalarTypes) == kDtypes.size());

at::ScalarType scalar_type(const std::string& dtype) {
  for (const auto& [name, type] : kScalarTypes) {
    if (name == dtype) return type;
  }
  PIXART_CHECK(false, "dtype {} passed the header check", dtype);
}

// Place in kDtypes.
size_t dtype_rank(const NamedTensor& named) {
  for (const auto& [name, type] : kScalarTypes) {
    if (type != named.tensor.scalar_type()) continue;
    return size_t(
        std::find_if(kDtypes.begin(), kDtypes.end(), [&](const Dtype& d) { return d.name == name; }) -
        kDtypes.begin());
  }
  throw UserError(fmt::format("tensor {} of type {} cannot be stored in a safetensors file.",
                              shown(named.name), c10::toString(named.tensor.scalar_type())));
}

struct Entry {
  const NamedTensor* source;
  size_t rank;  // of its dtype
};

// The reference library's order: types from large to small, then names.
std::vector<Entry> order_entries(const std::vector<NamedTensor>& tensors) {
  std::vector<Entry> entries;
  std::set<std::string_view> names;
  for (const auto& named : tensors) {
    PIXART_CHECK(named.tensor.defined(), "tensor '{}' is undefined", named.name);
    PIXART_CHECK(named.name != "__metadata__" && names.insert(named.name).second, "tensor name '{}'",
                 named.name);
    entries.push_back({&named, dtype_rank(named)});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.source->name < b.source->name;
  });
  return entries;
}

// Length, JSON and padding, in the reference library's own spelling.
std::string header_of(const std::vector<Entry>& entries, const std::map<std::string, std::string>& metadata) {
  using nlohmann::json;
  std::string text = R"({"__metadata__":)" + json(metadata).dump();
  uint64_t at = 0;
  for (const auto& [source, rank] : entries) {
    const uint64_t end = at + source->tensor.numel() * source->tensor.element_size();
    text +=
        fmt::format(R"(,{}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", json(source->name).dump(),
                    kDtypes[rank].name, json(source->tensor.sizes().vec()).dump(), at, end);
    at = end;
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string head(8, '\0');
  for (int i = 0; i < 8; ++i) head[size_t(i)] = char(uint64_t(text.size()) >> (8 * i));
  head += text;
  parse_safetensors_header(head, head.size() + at,
                           "the file to be written");  // never write what we refuse to read
  return head;
}

}  // namespace

TensorFile load_safetensors(const fs::path& path) {
  const auto header = read_safetensors_header(path);
  const InputFile file(path);
  TensorFile result;
  result.metadata = header.metadata;
  for (const auto& [name, info] : header.tensors) {
    at::Tensor tensor = at::empty(info.shape, at::TensorOptions().dtype(scalar_type(info.dtype)));
    if (tensor.numel() > 0) {
      file.read(tensor.mutable_data_ptr(), info.end - info.begin, header.data_offset + info.begin);
    }
    if (info.dtype == "BOOL" && !all_bools(tensor.const_data_ptr(), info.end - info.begin)) {
      throw UserError(
          fmt::format("{}: BOOL tensor {} holds bytes other than 0 and 1.", path.string(), shown(name)));
    }
    result.tensors.emplace(name, std::move(tensor));
  }
  return result;
}

void save_safetensors(const fs::path& path, const std::vector<NamedTensor>& tensors,
                      std::map<std::string, std::string> metadata) {
  metadata.emplace("format", "pt");
  const auto entries = order_entries(tensors);
  AtomicFile file(path);
  file.write(header_of(entries, metadata));
  for (const auto& entry : entries) {
    const at::Tensor tensor = entry.source->tensor.detach().to(at::kCPU).contiguous();
    file.write({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
  }
  file.commit();
}

}  // namespace pixart::formats
