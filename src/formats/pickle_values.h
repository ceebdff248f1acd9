// Turns a PickleGraph into values; tensors remain described and can be read.
#pragma once
#include <functional>
#include <string>

#include "pickle_graph.h"
#include "pth.h"

namespace pixart::formats {

// Fills `to` with the whole storage number `storage` of the graph.
using StorageReader = std::function<void(size_t storage, void* to)>;

// The value of the graph's root. A storage is read directly into the memory that its tensors share. Throws
// UserError, naming `name`, for cycles, deep nesting and sharing that multiplies values.
PickleValue make_value(const PickleGraph& graph, StorageReader read, const std::string& name);

}  // namespace pixart::formats
