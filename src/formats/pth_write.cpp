// Writes the format of torch.save: a zip archive of stored records, one per tensor, and a pickle that
// rebuilds the tensors. The pickle comes last, when the metadata is known; readers use the zip directory.
#include <ATen/ATen.h>
#include <libdeflate.h>

#include <algorithm>

#include "pickle_globals.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/weights.h"
#include "read_ahead.h"

namespace pixart::formats {

namespace {

// A zip archive of stored records under one top folder, laid out like PyTorch's own writer: data begins at
// multiples of 64 bytes; 64-bit fields are used where 32 bits are too few.
class ZipWriter {
 public:
  ZipWriter(AtomicFile& file, std::string top) : file_(file), top_(std::move(top)) {}

  void add(const std::string& name, std::string_view bytes) {
    const Record record{.name = top_ + "/" + name,
                        .offset = file_.size(),
                        .bytes = bytes.size(),
                        .crc = libdeflate_crc32(0, bytes.data(), bytes.size())};
    file_.write(local_header(record));
    file_.write(bytes);
    records_.push_back(record);
  }

  void finish() {
    const uint64_t begin = file_.size();
    for (const auto& record : records_) file_.write(central_header(record));
    const uint64_t end = file_.size(), count = records_.size();
    file_.write("PK\x06\x06" + little_endian(44, 8) + little_endian(kVersion, 2) +
                little_endian(kVersion, 2) + little_endian(0, 8) + little_endian(count, 8) +
                little_endian(count, 8) + little_endian(end - begin, 8) + little_endian(begin, 8));
    file_.write("PK\x06\x07" + little_endian(0, 4) + little_endian(end, 8) + little_endian(1, 4));
    const auto limited = [](uint64_t value, int bytes) {
      return little_endian(std::min(value, (uint64_t{1} << (8 * bytes)) - 1), bytes);
    };
    file_.write("PK\x05\x06" + little_endian(0, 4) + limited(count, 2) + limited(count, 2) +
                limited(end - begin, 4) + limited(begin, 4) + little_endian(0, 2));
  }

 private:
  static constexpr uint64_t kVersion = 45;  // version of the zip format with 64-bit fields
  static constexpr uint64_t kNot32 = 0xFFFFFFFF, kLocalBytes = 30, kAlignment = 64;
  struct Record {
    std::string name;
    uint64_t offset, bytes;
    uint32_t crc;
    bool is_long() const { return offset >= kNot32 || bytes >= kNot32; }
  };

  // The fields from "version needed" to the length of the name.
  static std::string common_fields(const Record& record) {
    const uint64_t bytes = record.is_long() ? kNot32 : record.bytes;
    constexpr uint64_t kFirstOfJanuary1980 = 0x21;
    return little_endian(kVersion, 2) + little_endian(0x800, 2) /* UTF-8 */ + little_endian(0, 2) +
           little_endian(0, 2) + little_endian(kFirstOfJanuary1980, 2) + little_endian(record.crc, 4) +
           little_endian(bytes, 4) + little_endian(bytes, 4) + little_endian(record.name.size(), 2);
  }

  static std::string local_header(const Record& record) {
    std::string extra;
    if (record.is_long())
      extra = little_endian(1, 2) + little_endian(16, 2) + little_endian(record.bytes, 8) +
              little_endian(record.bytes, 8);
    const uint64_t unpadded = record.offset + kLocalBytes + record.name.size() + extra.size() + 4;
    const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
    extra += "FB" + little_endian(padding, 2) + std::string(padding, 'Z');
    return "PK\x03\x04" + common_fields(record) + little_endian(extra.size(), 2) + record.name + extra;
  }

  static std::string central_header(const Record& record) {
    std::string extra;
    if (record.is_long())
      extra = little_endian(1, 2) + little_endian(24, 2) + little_endian(record.bytes, 8) +
              little_endian(record.bytes, 8) + little_endian(record.offset, 8);
    return "PK\x01\x02" + little_endian(kVersion, 2) + common_fields(record) +
           little_endian(extra.size(), 2) + little_endian(0, 2) /* comment */ +
           little_endian(0, 2) /* disk */ + little_endian(0, 6) +
           little_endian(record.is_long() ? kNot32 : record.offset, 4) + record.name + extra;
  }

  AtomicFile& file_;
  std::string top_;
  std::vector<Record> records_;
};

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
            {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
  });
  zip.add("byteorder", "little");
  zip.add("version", "3\n");
  Metadata metadata = weights.metadata;
  metadata.erase("format");  // an entry of safetensors only
  if (complete) complete(metadata);
  zip.add("data.pkl", pickle_of(weights, metadata));
  zip.finish();
  file.commit();
}

}  // namespace pixart::formats
