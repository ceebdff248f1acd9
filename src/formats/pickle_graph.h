// The content of a pickle as one flat table: containers refer to their elements by number. So nesting,
// sharing and cycles need no recursion (destroying a chain of 50,000 lists would overflow the stack). Tensors
// are only described; no memory of their size has been allocated.
#pragma once
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

namespace pixart::formats {

using NodeId = uint32_t;

struct PickleNode {
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInteger,
    kFloat,
    kText,
    kList,
    kTuple,
    kDict,
    kGlobal,
    kOpaque,
    kStorage,
    kTensor
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;  // bool, integer; number of a global, storage or tensor
  double real = 0;
  std::string text = {};           // text; dotted name of a global or opaque object
  std::vector<NodeId> items = {};  // elements; keys and values in turn
};

struct StorageSpec {
  std::string key = {};
  at::ScalarType dtype = at::kByte;
  bool untyped = false;  // bytes for tensors of any type
  uint64_t bytes = 0;    // at most the size of the file
};

// A view of a storage. It is checked to be inside the storage unless it has no elements.
struct TensorSpec {
  size_t storage = 0;  // in PickleGraph::storages
  at::ScalarType dtype = at::kByte;
  int64_t offset = 0;  // in elements
  std::vector<int64_t> sizes = {}, strides = {};
};

struct PickleGraph {
  std::vector<PickleNode> nodes;
  std::vector<StorageSpec> storages;
  std::vector<TensorSpec> tensors;
  NodeId root = 0;

  const PickleNode& node(NodeId id) const { return nodes[id]; }
};

}  // namespace pixart::formats
