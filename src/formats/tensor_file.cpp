#include "pixart/formats/tensor_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "dtypes.h"
#include "input_file.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/safetensors.h"
#include "pixart/formats/weights.h"
#include "read_ahead.h"
#include "recycled_memory.h"

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

// Index in kDtypes.
size_t dtype_rank(const std::string& name, at::ScalarType type) {
  for (const auto& [dtype, scalar] : kScalarTypes) {
    if (scalar != type) continue;
    const auto found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                    [wanted = dtype](const Dtype& d) { return d.name == wanted; });
    return size_t(found - kDtypes.begin());
  }
  throw UserError(fmt::format("tensor {} of type {} cannot be stored in a safetensors file.", shown(name),
                              c10::toString(type)));
}

struct Entry {
  const std::string* name;
  const WeightInfo* info;
  size_t rank;  // of its dtype: the index in kDtypes
};

// The reference library's order: large types before small ones, then by name.
std::vector<Entry> order_entries(const Weights& weights) {
  std::vector<Entry> entries;
  for (const auto& [name, info] : weights.tensors) {
    PIXART_CHECK(name != "__metadata__", "a tensor called {}", name);
    entries.push_back({&name, &info, dtype_rank(name, info.dtype)});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.rank != b.rank ? a.rank > b.rank : *a.name < *b.name;
  });
  return entries;
}

// Length, JSON and padding, with the reference library's spelling.
std::string header_of(const std::vector<Entry>& entries, const Metadata& metadata) {
  using nlohmann::json;
  std::string text = R"({"__metadata__":)" + json(metadata).dump();
  uint64_t at = 0;
  for (const auto& [name, info, rank] : entries) {
    const uint64_t end = at + info->bytes();
    text += fmt::format(R"(,{}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", json(*name).dump(),
                        kDtypes[rank].name, json(info->shape).dump(), at, end);
    at = end;
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::string head = little_endian(text.size(), 8) + text;
  parse_safetensors_header(head, head.size() + at,
                           "the file to be written");  // never write a file that this program refuses
  return head;
}

}  // namespace

std::string dtype_text(at::ScalarType dtype) {
  for (const auto& [name, type] : kScalarTypes)
    if (type == dtype) return std::string(name);
  return c10::toString(dtype);
}

Weights open_safetensors(const fs::path& path) {
  auto header = std::make_shared<SafetensorsHeader>(read_safetensors_header(path));
  Weights weights{.metadata = header->metadata, .files = {path}, .kind = "safetensors"};
  for (const auto& [name, info] : header->tensors)
    weights.tensors.emplace(name, WeightInfo{scalar_type(info.dtype), info.shape});
  const auto file = std::make_shared<const InputFile>(path);
  weights.read = [header, file, memory = RecycledMemory()](const std::string& name) {
    const TensorInfo& info = header->tensors.at(name);
    const at::Tensor tensor = memory.empty(info.shape, scalar_type(info.dtype));
    const uint64_t bytes = info.end - info.begin;
    if (bytes > 0) file->read(tensor.mutable_data_ptr(), bytes, header->data_offset + info.begin);
    if (info.dtype == "BOOL" && !all_bools(tensor.const_data_ptr(), bytes)) {
      throw UserError(
          fmt::format("{}: BOOL tensor {} holds bytes other than 0 and 1.", file->name(), shown(name)));
    }
    return tensor;
  };
  return weights;
}

TensorFile load_safetensors(const fs::path& path) {
  const Weights weights = open_safetensors(path);
  return {read_all(weights), weights.metadata};
}

namespace {

// Reads the tensors one after the other, in the order of the header.
template <class Use>
void for_each_tensor(const Weights& weights, const std::vector<Entry>& entries, Use use) {
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(*entry.name);
  read_ahead(weights, names, [&](const std::string& name, const at::Tensor& tensor) {
    use(name, std::string_view(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()));
  });
}

Metadata with_format(Metadata metadata) {
  metadata.emplace("format", "pt");
  return metadata;
}

}  // namespace

void stream_safetensors(const Weights& weights, const SafetensorsSink& sink) {
  const auto entries = order_entries(weights);
  sink("", header_of(entries, with_format(weights.metadata)));
  for_each_tensor(weights, entries, sink);
}

void write_safetensors(const fs::path& path, const Weights& weights, const CompleteMetadata& complete,
                       Durability durability) {
  Metadata metadata = with_format(weights.metadata);
  const auto entries = order_entries(weights);
  const std::string header = header_of(entries, metadata);
  AtomicFile file(path, durability);
  file.write(header);
  for_each_tensor(weights, entries, [&](const std::string&, std::string_view bytes) { file.write(bytes); });
  if (complete) {
    complete(metadata);
    const std::string completed = header_of(entries, metadata);
    PIXART_CHECK(completed.size() == header.size(), "the completed metadata has another length");
    file.rewrite(0, completed);
  }
  file.commit();
}

Weights weights_of(const std::vector<NamedTensor>& tensors, Metadata metadata) {
  const auto by_name = std::make_shared<std::map<std::string, at::Tensor>>();
  Weights weights{.metadata = std::move(metadata)};
  for (const auto& [name, tensor] : tensors) {
    PIXART_CHECK(tensor.defined(), "tensor '{}' is undefined", name);
    PIXART_CHECK(by_name->emplace(name, tensor).second, "tensor name '{}' twice", name);
    weights.tensors.emplace(name, WeightInfo{tensor.scalar_type(), tensor.sizes().vec()});
  }
  weights.read = [by_name](const std::string& name) {
    return by_name->at(name).detach().to(at::kCPU).contiguous();
  };
  return weights;
}

void save_safetensors(const fs::path& path, const std::vector<NamedTensor>& tensors,
                      std::map<std::string, std::string> metadata) {
  write_safetensors(path, weights_of(tensors, std::move(metadata)));
}

}  // namespace pixart::formats
