#include "pixart/formats/npy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include "dtypes.h"
#include "input_file.h"
#include "npy_header.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/npz_bytes.h"
#include "zip_archive.h"
#include "zip_record.h"
#include "zip_write.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

constexpr const char* kBytesName = "arr_0.npy";  // of save_npz_of_bytes()

at::ScalarType npy_scalar_type(const std::string& dtype) {
  static const std::map<std::string, at::ScalarType> types = {
      {"b1", at::kBool},        {"i1", at::kChar}, {"i2", at::kShort},  {"i4", at::kInt},
      {"i8", at::kLong},        {"u1", at::kByte}, {"u2", at::kUInt16}, {"u4", at::kUInt32},
      {"u8", at::kUInt64},      {"f2", at::kHalf}, {"f4", at::kFloat},  {"f8", at::kDouble},
      {"c8", at::kComplexFloat}};
  const auto found = types.find(dtype);
  PIXART_CHECK(found != types.end(), "dtype {} passed the header check", dtype);
  return found->second;
}

std::string npy_dtype(at::ScalarType type) {
  static const std::map<at::ScalarType, std::string> types = {
      {at::kByte, "|u1"}, {at::kInt, "<i4"}, {at::kLong, "<i8"}, {at::kFloat, "<f4"}, {at::kDouble, "<f8"}};
  const auto found = types.find(type);
  PIXART_CHECK(found != types.end(), "arrays of type {} are not written", c10::toString(type));
  return found->second;
}

// `finish` checks that the data were complete, before a tensor is made from them.
at::Tensor read_array(const ReadNext& next, const std::function<void()>& finish, uint64_t bytes,
                      const std::string& name) {
  NpyHeader header = read_npy_header(next, bytes, name);
  if (header.is_fortran) std::reverse(header.shape.begin(), header.shape.end());
  at::Tensor tensor = at::empty(header.shape, at::TensorOptions().dtype(npy_scalar_type(header.dtype)));
  if (header.data_bytes > 0) next(tensor.mutable_data_ptr(), header.data_bytes);
  finish();
  if (header.dtype == "b1" && !all_bools(tensor.const_data_ptr(), header.data_bytes))
    throw UserError(fmt::format("{}: a boolean array holds bytes other than 0 and 1.", name));
  if (!header.is_fortran) return tensor;
  std::vector<int64_t> last_to_first(header.shape.size());
  std::iota(last_to_first.rbegin(), last_to_first.rend(), 0);
  return tensor.permute(last_to_first).contiguous();
}

}  // namespace

at::Tensor load_npy(const fs::path& path) {
  const InputFile file(path);
  uint64_t at = 0;
  const auto next = [&](void* to, uint64_t count) {
    file.read(to, count, at);
    at += count;
  };
  return read_array(
      next, [] {}, file.bytes(), file.name());
}

std::map<std::string, at::Tensor> load_npz(const fs::path& path, const IsWanted& is_wanted) {
  constexpr std::string_view kEnding = ".npy";
  const InputFile file(path);
  std::map<std::string, at::Tensor> arrays;
  for (const auto& [name, record] : read_zip_directory(file, kNumpyZip)) {
    if (!name.ends_with(kEnding) || name == kEnding) {
      throw UserError(fmt::format("{}: record {} is not an array; names by np.savez end in .npy.",
                                  file.name(), shown(name)));
    }
    const std::string array = name.substr(0, name.size() - kEnding.size());
    if (is_wanted && !is_wanted(array)) continue;
    RecordStream stream(file, record);
    const auto next = [&](void* to, uint64_t count) { stream.read(to, count); };
    arrays.emplace(array, read_array(
                              next, [&] { stream.finish(); }, record.bytes,
                              fmt::format("{}: {}", file.name(), shown(name))));
  }
  return arrays;
}

void save_npz(const fs::path& path, const std::map<std::string, at::Tensor>& arrays) {
  AtomicFile file(path);
  ZipWriter zip(file, "");
  for (const auto& [name, array] : arrays) {
    const at::Tensor tensor = array.detach().cpu().contiguous();
    const std::string header = npy_header(npy_dtype(tensor.scalar_type()), tensor.sizes().vec());
    zip.add(name + ".npy", {header, {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}});
  }
  zip.finish();
  file.commit();
}

void save_npz_of_bytes(const fs::path& path, const std::vector<int64_t>& shape,
                       const std::function<void(const TakeBytes&)>& produce) {
  AtomicFile file(path);
  ZipWriter zip(file, "");
  const std::string header = npy_header(npy_dtype(at::kByte), shape);
  uint64_t bytes = header.size();
  bytes += std::accumulate(shape.begin(), shape.end(), uint64_t{1},
                           [](uint64_t product, int64_t side) { return product * uint64_t(side); });
  zip.add_pieces(kBytesName, bytes, [&](const ZipWriter::Take& take) {
    take(header);
    produce(take);
  });
  zip.finish();
  file.commit();
}

// The array is aligned (zip_write.cpp), which np.savez does not do.
bool is_npz_of_bytes(const fs::path& path) {
  constexpr size_t kLocalBytes = 30, kArrayBegin = 64, kHead = 70;
  std::string head(kHead, '\0');
  std::ifstream file(path, std::ios::binary);
  return file.read(head.data(), kHead) && head.starts_with("PK\x03\x04") &&
         std::string_view(head).substr(kLocalBytes).starts_with(kBytesName) &&
         std::string_view(head).substr(kArrayBegin).starts_with("\x93NUMPY");
}

}  // namespace pixart::formats
