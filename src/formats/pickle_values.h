// From the described to the real: values and tensors of a PickleGraph.
#pragma once
#include <functional>
#include <string>

#include "pickle_graph.h"
#include "pixart/formats/pth.h"

namespace pixart::formats {

// Fills `to` with the graph's storage number `storage`, whole.
using StorageReader = std::function<void(size_t storage, void* to)>;

// The value of node `root`. Only the storages of its tensors are read, each once and straight into the memory
// that the tensors share. UserError, naming `name`, for cycles, deep nesting and sharing that multiplies.
PickleValue make_value(const PickleGraph& graph, NodeId root, const StorageReader& read,
                       const std::string& name);

}  // namespace pixart::formats
