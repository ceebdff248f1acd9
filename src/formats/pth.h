// Restricted reader of PyTorch files (torch.save: zip layout and the legacy layout before 1.6). It executes
// nothing. It has its own pickle opcode subset and its own zip reader with CRC check. It rebuilds tensors
// itself, passes over objects of other classes, and refuses names that run code (pickle_globals.h). Never use
// torch::load, which is not safe for files from outside.
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

// A value of a pickled file. Lists, tuples and sets are `List`; dicts (also OrderedDict) are `Dict` in file
// order. Opaque has the dotted name of a class whose object is passed over (argparse.Namespace, numpy.dtype).
struct PickleValue;
using PickleList = std::vector<PickleValue>;
using PickleDict = std::vector<std::pair<PickleValue, PickleValue>>;
struct Opaque {
  std::string global;
};
// Described at once, read on request. Tensors of one storage share its memory while one of them exists.
struct PickleTensor {
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> read;  // as saved: it may not be contiguous
};
struct PickleValue {
  std::variant<std::monostate, bool, int64_t, double, std::string, Opaque, PickleTensor,
               std::shared_ptr<PickleList>, std::shared_ptr<PickleDict>>
      value;
};

// Throws UserError naming file, offset and reason. So does reading a tensor, which checks its CRC.
PickleValue open_pth(const std::filesystem::path& path);

// All tensors with their path from the top level, joined by `separator`.
std::vector<std::pair<std::string, PickleTensor>> flatten_tensors(const PickleValue& value,
                                                                  const std::string& separator);

}  // namespace pixart::formats
