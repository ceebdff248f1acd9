// Parts of a feature set's index. Each throws UserError naming the file where it is not as it should be.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "pixart/formats/tensor_file.h"

namespace pixart::data {

struct FeatureIndex {
  std::filesystem::path path;
  formats::TensorFile file;

  explicit FeatureIndex(const std::filesystem::path& folder);
  // `numel`: how many elements it must have; -1: any number.
  const at::Tensor& tensor(const std::string& name, at::ScalarType dtype, int64_t numel = -1) const;
  const std::string& text(const std::string& name) const;
  int64_t number(const std::string& name) const;
  void require(bool holds, const std::string& what) const;
};

}  // namespace pixart::data
