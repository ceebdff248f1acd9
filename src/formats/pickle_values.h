// From the described to the values of a PickleGraph; tensors stay described and can be read.
#pragma once
#include <functional>
#include <string>

#include "pickle_graph.h"
#include "pixart/formats/pth.h"

namespace pixart::formats {

// Fills `to` with the graph's storage number `storage`, whole.
using StorageReader = std::function<void(size_t storage, void* to)>;

// The value of the graph's root. A storage is read straight into the memory that its tensors share.
// UserError, naming `name`, for cycles, deep nesting and sharing that multiplies.
PickleValue make_value(const PickleGraph& graph, StorageReader read, const std::string& name);

}  // namespace pixart::formats
