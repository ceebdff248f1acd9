#include "feature_index.h"

#include <ATen/ATen.h>

#include <charconv>

#include "feature_files.h"
#include "pixart/base/error.h"

namespace pixart::data {

FeatureIndex::FeatureIndex(const std::filesystem::path& folder)
    : path(folder / kIndexFile), file(formats::load_safetensors(path)) {}

void FeatureIndex::require(bool holds, const std::string& what) const {
  if (!holds)
    throw UserError(fmt::format("{} {}. Remove the folder and extract again.", path.string(), what));
}

const at::Tensor& FeatureIndex::tensor(const std::string& name, at::ScalarType dtype, int64_t numel) const {
  const auto found = file.tensors.find(name);
  require(found != file.tensors.end() && found->second.scalar_type() == dtype,
          fmt::format("holds no tensor {} of type {}", name, c10::toString(dtype)));
  require(numel < 0 || found->second.numel() == numel,
          fmt::format("is of another size than the manifest says: {} elements of {}, not {}",
                      found->second.numel(), name, numel));
  return found->second;
}

const std::string& FeatureIndex::text(const std::string& name) const {
  const auto found = file.metadata.find(name);
  require(found != file.metadata.end(), "holds no entry " + name);
  return found->second;
}

int64_t FeatureIndex::number(const std::string& name) const {
  const std::string& digits = text(name);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  require(error == std::errc() && end == digits.data() + digits.size() && value >= 0,
          fmt::format("holds '{}' as {}", digits, name));
  return value;
}

}  // namespace pixart::data
