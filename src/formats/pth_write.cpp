// Writes the format of torch.save: a zip archive of stored records, one per tensor, and a pickle that
// rebuilds the tensors. The pickle comes last, when the metadata is known; readers use the zip directory.
#include <ATen/ATen.h>
#include <algorithm>

#include "pickle_globals.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/weights.h"
#include "read_ahead.h"
#include "zip_write.h"

namespace pixart::formats {

namespace {

std::string text(const std::string& value) { return "X" + little_endian(value.size(), 4) + value; }
// "torch.FloatStorage": module and name.
std::string global(const std::string& dotted) {
  const size_t dot = dotted.rfind('.');
  return "c" + dotted.substr(0, dot) + "\n" + dotted.substr(dot + 1) + "\n";
}
std::string integer(int64_t value) { return "\x8a\x08" + little_endian(uint64_t(value), 8); }
std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += integer(value);
  return out + "t";
}
std::string ordered_dict() { return global("collections.OrderedDict") + ")R"; }

std::string tensor(const WeightInfo& info, const std::string& key) {
  std::vector<int64_t> strides(info.shape.size());
  int64_t stride = 1;
  for (size_t i = info.shape.size(); i-- > 0; stride *= std::max<int64_t>(info.shape[i], 1))
    strides[i] = stride;
  const KnownGlobal* typed = global_for(GlobalRole::kStorageType, info.dtype);
  const KnownGlobal* dtype = global_for(GlobalRole::kDtype, info.dtype);
  if (typed == nullptr && dtype == nullptr)
    throw UserError(
        fmt::format("tensors of type {} cannot be stored in a PyTorch file.", dtype_text(info.dtype)));
  const std::string storage =
      "(" + text("storage") + global(typed != nullptr ? typed->name : "torch.storage.UntypedStorage") +
      text(key) + text("cpu") + integer(typed != nullptr ? info.numel() : int64_t(info.bytes())) + "tQ";
  const std::string view =
      storage + integer(0) + tuple(info.shape) + tuple(strides) + "\x89" + ordered_dict();
  if (typed != nullptr) return global("torch._utils._rebuild_tensor_v2") + "(" + view + "tR";
  // Newer types have no storage class of their own.
  return global("torch._utils._rebuild_tensor_v3") + "(" + view + global(dtype->name) + "tR";
}

std::string pickle_of(const Weights& weights, const Metadata& metadata) {
  std::string out = "\x80\x02}(" + text("state_dict") + ordered_dict() + "(";
  int64_t key = 0;
  for (const auto& [name, info] : weights.tensors) out += text(name) + tensor(info, std::to_string(key++));
  out += "u" + text("metadata") + "}(";
  for (const auto& [name, value] : metadata) out += text(name) + text(value);
  return out + "uu.";
}

}  // namespace

void write_pth(const std::filesystem::path& path, const Weights& weights, const CompleteMetadata& complete,
               Durability durability) {
  AtomicFile file(path, durability);
  ZipWriter zip(file, "archive");
  std::vector<std::string> names;
  for (const auto& [name, info] : weights.tensors) names.push_back(name);
  int64_t key = 0;
  read_ahead(weights, names, [&](const std::string&, const at::Tensor& tensor) {
    zip.add("data/" + std::to_string(key++),
            {{static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}});
  });
  zip.add("byteorder", {"little"});
  zip.add("version", {"3\n"});
  Metadata metadata = weights.metadata;
  metadata.erase("format");  // an entry of safetensors only
  if (complete) complete(metadata);
  const std::string pickle = pickle_of(weights, metadata);
  zip.add("data.pkl", {pickle});
  zip.finish();
  file.commit();
}

}  // namespace pixart::formats
