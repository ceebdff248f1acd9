#include "pixart/formats/npy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "dtypes.h"
#include "input_file.h"
#include "npy_header.h"
#include "pixart/base/error.h"
#include "zip_archive.h"
#include "zip_record.h"

namespace pixart::formats {
namespace fs = std::filesystem;

namespace {

at::ScalarType scalar_type(const std::string& dtype) {
  static const std::map<std::string, at::ScalarType> types = {
      {"b1", at::kBool},        {"i1", at::kChar}, {"i2", at::kShort},  {"i4", at::kInt},
      {"i8", at::kLong},        {"u1", at::kByte}, {"u2", at::kUInt16}, {"u4", at::kUInt32},
      {"u8", at::kUInt64},      {"f2", at::kHalf}, {"f4", at::kFloat},  {"f8", at::kDouble},
      {"c8", at::kComplexFloat}};
  const auto found = types.find(dtype);
  PIXART_CHECK(found != types.end(), "dtype {} passed the header check", dtype);
  return found->second;
}

// `finish` checks that the data were complete, before a tensor is made from them.
at::Tensor read_array(const ReadNext& next, const std::function<void()>& finish, uint64_t bytes,
                      const std::string& name) {
  NpyHeader header = read_npy_header(next, bytes, name);
  if (header.is_fortran) std::reverse(header.shape.begin(), header.shape.end());
  at::Tensor tensor = at::empty(header.shape, at::TensorOptions().dtype(scalar_type(header.dtype)));
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

std::map<std::string, at::Tensor> load_npz(const fs::path& path) {
  constexpr std::string_view kEnding = ".npy";
  const InputFile file(path);
  std::map<std::string, at::Tensor> arrays;
  for (const auto& [name, record] : read_zip_directory(file, kNumpyZip)) {
    if (!name.ends_with(kEnding) || name == kEnding) {
      throw UserError(fmt::format("{}: record {} is not an array; names by np.savez end in .npy.",
                                  file.name(), shown(name)));
    }
    RecordStream stream(file, record);
    const auto next = [&](void* to, uint64_t count) { stream.read(to, count); };
    arrays.emplace(
        name.substr(0, name.size() - kEnding.size()),
        read_array(
            next, [&] { stream.finish(); }, record.bytes, fmt::format("{}: {}", file.name(), shown(name))));
  }
  return arrays;
}

}  // namespace pixart::formats
