// Parts of a feature set's index. Each function throws UserError(kStorage) that names the file if the index is damaged.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "pixart/data/feature_set.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::data {

struct FeatureIndex {
  std::filesystem::path path;
  formats::TensorFile file;

  // Checks the file's hash. Warns, once per folder, about a set without hash or checksums.
  FeatureIndex(const std::filesystem::path& folder, const FeatureManifest& manifest);
  // `numel`: the required number of elements; -1: any number.
  const at::Tensor& tensor(const std::string& name, at::ScalarType dtype, int64_t numel = -1) const;
  // CRC32C of each record, [rows, columns] int32; undefined for sets of older versions.
  at::Tensor checksums(const std::string& name, int64_t rows, int64_t columns) const;
  const std::string& text(const std::string& name) const;
  int64_t number(const std::string& name) const;
  void require(bool holds, const std::string& what) const;
};

// CRC32C of a record in memory.
int32_t record_checksum(const void* bytes, uint64_t count);

}  // namespace pixart::data
