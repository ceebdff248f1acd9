// The two layouts of PyTorch files. Each gives the graph of the pickle and the bytes of each storage.
#pragma once
#include <vector>

#include "input_file.h"
#include "pickle_values.h"

namespace pixart::formats {

struct PthLayout {
  PickleGraph graph;
  StorageReader read;  // keeps a reference to the file
};

// Since PyTorch 1.6: a zip archive with data.pkl and one record per storage.
PthLayout read_zip_layout(const InputFile& file);

// Before PyTorch 1.6: five pickles (magic number, protocol, system, data, keys), then the storages in the
// order of the keys.
bool has_legacy_magic(std::string_view head);
PthLayout read_legacy_layout(const InputFile& file);

inline constexpr uint64_t kLargestPickle = uint64_t{64} << 20;  // 700,000 tensors

}  // namespace pixart::formats
