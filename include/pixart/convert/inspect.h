// Reports the content of weight files and folders, for people and programs.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pixart/convert/layout.h"

namespace pixart::convert {

struct WeightReport {
  Opened opened;
  int64_t numbers = 0;                         // elements of all tensors
  std::map<std::string, int64_t> dtypes = {};  // "F32" -> elements
  std::string license = {};
};

// `path` is a weight file or index, a folder of one model, a checkpoint of this program (model, ema,
// optimizer) or a pipeline folder (each part with weights). Reads no values except position tables.
std::vector<WeightReport> inspect(const std::filesystem::path& path);

// Whether no value is NaN or infinite; true for types other than floating point.
bool is_finite(const at::Tensor& tensor);

// Reads everything (and checks the checksums of a PyTorch file) and lists floating-point tensors with NaN or
// infinity, one line each. `done` is called with the number of bytes read so far.
std::vector<std::string> find_not_finite(const formats::Weights& weights,
                                         const std::function<void(uint64_t)>& done = {});

}  // namespace pixart::convert
