// Restricted reader of PyTorch files (torch.save: zip layout and the legacy layout before 1.6). It executes
// nothing: its own pickle opcode subset, its own zip reader with CRC check, and only the globals that rebuild
// tensors; anything else is refused with the global's name. Never torch::load, which is not safe on outside
// files.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace pixart::formats {

// A value of a pickled file. Lists, tuples and sets are `List`; dicts (OrderedDict too) are `Dict` in file
// order. Opaque holds the dotted name of a harmless object (dtype, Namespace), whose content is dropped.
struct PickleValue;
using PickleList = std::vector<PickleValue>;
using PickleDict = std::vector<std::pair<PickleValue, PickleValue>>;
struct Opaque {
  std::string global;
};
// Described now, read when asked for. Tensors that share a storage share its memory while one of them lives.
struct PickleTensor {
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> read;  // as it was saved: perhaps not contiguous
};
struct PickleValue {
  std::variant<std::monostate, bool, int64_t, double, std::string, Opaque, PickleTensor,
               std::shared_ptr<PickleList>, std::shared_ptr<PickleDict>>
      value;
};

// Throws UserError naming file, offset and reason; so does reading a tensor (its CRC is checked then).
PickleValue open_pth(const std::filesystem::path& path);

// All tensors with their path from the top level, joined by `separator`.
std::vector<std::pair<std::string, PickleTensor>> flatten_tensors(const PickleValue& value,
                                                                  const std::string& separator);

}  // namespace pixart::formats
