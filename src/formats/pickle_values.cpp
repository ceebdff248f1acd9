#include "pickle_values.h"

#include <ATen/ATen.h>

#include <optional>
#include <set>

#include "dtypes.h"
#include "input_file.h"
#include "pickle_builder.h"
#include "pickle_globals.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "recycled_memory.h"

namespace pixart::formats {

namespace {

constexpr int kDeepestNesting = 64;

// The storages of a file. A storage in memory is shared. The last one is kept, because tensors with the same
// storage usually follow each other.
class Storages {
 public:
  Storages(std::vector<StorageSpec> specs, StorageReader read, std::string name)
      : specs_(std::move(specs)), read_(std::move(read)), name_(std::move(name)), known_(specs_.size()) {}

  c10::Storage get(size_t number) {
    if (auto known = known_[number] ? known_[number]->lock() : c10::intrusive_ptr<c10::StorageImpl>())
      return c10::Storage(std::move(known));
    last_ = c10::Storage();  // freed before the next is allocated
    const StorageSpec& spec = specs_[number];
    const at::Tensor bytes = memory_.empty({int64_t(spec.bytes)}, at::kByte);
    if (spec.bytes > 0) read_(number, bytes.mutable_data_ptr());
    if (spec.dtype == at::kBool && !all_bools(bytes.const_data_ptr(), spec.bytes)) {
      throw UserError(
          fmt::format("{}: storage {} of bools holds bytes other than 0 and 1.", name_, shown(spec.key)));
    }
    last_ = bytes.storage();
    known_[number].emplace(last_.getWeakStorageImpl());
    return last_;
  }

 private:
  std::vector<StorageSpec> specs_;
  StorageReader read_;
  std::string name_;
  RecycledMemory memory_;
  std::vector<std::optional<c10::weak_intrusive_ptr<c10::StorageImpl>>> known_;
  c10::Storage last_;
};

class ValueMaker {
 public:
  ValueMaker(const PickleGraph& graph, StorageReader read, const std::string& name)
      : graph_(graph),
        name_(name),
        storages_(std::make_shared<Storages>(graph.storages, std::move(read), name)) {}
  PickleValue make(NodeId id, int depth);

 private:
  using Kind = PickleNode::Kind;
  [[noreturn]] void fail(const std::string& reason) const {
    throw UserError(fmt::format("{}: {}. Nothing of the file was executed.", name_, reason));
  }
  PickleValue make_list(const PickleNode& node, int depth);
  PickleValue make_dict(const PickleNode& node, int depth);
  PickleTensor make_tensor(const TensorSpec& spec) const;

  const PickleGraph& graph_;
  const std::string& name_;
  std::shared_ptr<Storages> storages_;
  size_t num_made_ = 0;
};

PickleValue ValueMaker::make(NodeId id, int depth) {
  if (depth > kDeepestNesting)
    fail(fmt::format("containers are nested deeper than {} levels, or contain themselves", kDeepestNesting));
  if (++num_made_ > kMostPickleValues) fail("containers are shared so often that there are too many values");
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
  fail("expected a value, got a storage");
}

PickleValue ValueMaker::make_list(const PickleNode& node, int depth) {
  auto list = std::make_shared<PickleList>();
  for (const NodeId item : node.items) list->push_back(make(item, depth + 1));
  return {list};
}

// Python writes each key once. With a second one, two readers could see different values.
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

PickleTensor ValueMaker::make_tensor(const TensorSpec& spec) const {
  return {.dtype = spec.dtype, .shape = spec.sizes, .read = [storages = storages_, spec] {
            const at::Tensor tensor = at::empty({0}, at::TensorOptions().dtype(spec.dtype));
            const bool is_empty = contains(spec.sizes, 0);
            return tensor.set_(storages->get(spec.storage), is_empty ? 0 : spec.offset, spec.sizes,
                               spec.strides);
          }};
}

}  // namespace

PickleValue make_value(const PickleGraph& graph, StorageReader read, const std::string& name) {
  return ValueMaker(graph, std::move(read), name).make(graph.root, 0);
}

}  // namespace pixart::formats
