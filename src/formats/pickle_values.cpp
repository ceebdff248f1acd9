#include "pickle_values.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "dtypes.h"
#include "input_file.h"
#include "pickle_builder.h"
#include "pickle_globals.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

constexpr int kDeepestNesting = 64;

class ValueMaker {
 public:
  ValueMaker(const PickleGraph& graph, const StorageReader& read, const std::string& name)
      : graph_(graph), read_(read), name_(name), storages_(graph.storages.size()) {}
  PickleValue make(NodeId id, int depth);

 private:
  using Kind = PickleNode::Kind;
  [[noreturn]] void fail(const std::string& reason) const {
    throw UserError(fmt::format("{}: {}. Nothing of the file was executed.", name_, reason));
  }
  PickleValue make_list(const PickleNode& node, int depth);
  PickleValue make_dict(const PickleNode& node, int depth);
  at::Tensor make_tensor(const TensorSpec& spec);
  const at::Tensor& storage(size_t number);

  const PickleGraph& graph_;
  const StorageReader& read_;
  const std::string& name_;
  std::vector<at::Tensor> storages_;  // as bytes
  size_t num_made_ = 0;
};

PickleValue ValueMaker::make(NodeId id, int depth) {
  if (depth > kDeepestNesting)
    fail(fmt::format("containers are nested deeper than {} levels, or contain themselves", kDeepestNesting));
  if (++num_made_ > kMostPickleValues) fail("containers are shared so often that there is no end of values");
  const PickleNode& node = graph_.node(id);
  switch (node.kind) {
    case Kind::kNone:
      return {};
    case Kind::kBool:
      return {node.integer != 0};
    case Kind::kInteger:
      return {node.integer};
    case Kind::kFloat:
      return {node.real};
    case Kind::kText:
      return {node.text};
    case Kind::kList:
    case Kind::kTuple:
      return make_list(node, depth);
    case Kind::kDict:
      return make_dict(node, depth);
    case Kind::kGlobal:
      return {Opaque{known_global(size_t(node.integer)).name}};
    case Kind::kOpaque:
      return {Opaque{node.text}};
    case Kind::kTensor:
      return {make_tensor(graph_.tensors[size_t(node.integer)])};
    case Kind::kStorage:
      break;
  }
  fail("a storage stands where a value is expected");
}

PickleValue ValueMaker::make_list(const PickleNode& node, int depth) {
  auto list = std::make_shared<PickleList>();
  for (const NodeId item : node.items) list->push_back(make(item, depth + 1));
  return {list};
}

// Python writes each key once; a second one would hide what the first reader saw.
PickleValue ValueMaker::make_dict(const PickleNode& node, int depth) {
  auto dict = std::make_shared<PickleDict>();
  std::set<std::pair<int64_t, std::string_view>> seen;
  for (size_t i = 0; i < node.items.size(); i += 2) {
    const PickleNode& key = graph_.node(node.items[i]);
    const bool is_named = key.kind == Kind::kText || key.kind == Kind::kInteger;
    if (is_named && !seen.emplace(key.integer, key.text).second) {
      fail(fmt::format("a dictionary has the key {} twice",
                       key.kind == Kind::kText ? shown(key.text) : std::to_string(key.integer)));
    }
    dict->emplace_back(make(node.items[i], depth + 1), make(node.items[i + 1], depth + 1));
  }
  return {dict};
}

const at::Tensor& ValueMaker::storage(size_t number) {
  at::Tensor& bytes = storages_[number];
  if (bytes.defined()) return bytes;
  const StorageSpec& spec = graph_.storages[number];
  bytes = at::empty({int64_t(spec.bytes)}, at::kByte);
  read_(number, bytes.mutable_data_ptr());
  if (spec.dtype == at::kBool && !all_bools(bytes.const_data_ptr(), spec.bytes))
    fail(fmt::format("storage {} of bools holds bytes other than 0 and 1", shown(spec.key)));
  return bytes;
}

at::Tensor ValueMaker::make_tensor(const TensorSpec& spec) {
  at::Tensor tensor = at::empty({0}, at::TensorOptions().dtype(spec.dtype));
  const bool is_empty = std::find(spec.sizes.begin(), spec.sizes.end(), 0) != spec.sizes.end();
  return tensor.set_(storage(spec.storage).storage(), is_empty ? 0 : spec.offset, spec.sizes, spec.strides);
}

}  // namespace

PickleValue make_value(const PickleGraph& graph, NodeId root, const StorageReader& read,
                       const std::string& name) {
  return ValueMaker(graph, read, name).make(root, 0);
}

}  // namespace pixart::formats
