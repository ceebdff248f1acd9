#include "pickle_builder.h"

#include <fmt/format.h>

#include <algorithm>

namespace pixart::formats {

namespace {

constexpr size_t kLargestRank = 64, kMostArguments = 16, kLongestKey = 4096, kLongestName = 512;
// Limit for the sum of views that repeat their storages (stride 0), whose values multiply when they are made
// contiguous; four times the file if that is more.
constexpr uint64_t kLargestExpandedBytes = uint64_t{64} << 20;

}  // namespace

NodeId PickleBuilder::add(PickleNode node) {
  if (graph_.nodes.size() == kMostPickleValues) fail("more values than weights can need");
  graph_.nodes.push_back(std::move(node));
  return NodeId(graph_.nodes.size() - 1);
}

void PickleBuilder::count_copies(size_t count) {
  num_copied_ += count;
  if (num_copied_ > kMostPickleCopies) fail("more copies of values than weights can need");
}

NodeId PickleBuilder::add_global(const std::string& dotted_name) {
  if (dotted_name.size() > kLongestName) fail("the name of a class is too long");
  if (const auto number = find_global(dotted_name))
    return add({.kind = Kind::kGlobal, .integer = int64_t(*number)});
  if (const std::string refusal = refusal_of_global(dotted_name); !refusal.empty())
    fail(fmt::format("the file asks for {}, which {}", shown(dotted_name), refusal));
  return add_opaque(dotted_name);
}

const KnownGlobal* PickleBuilder::as_global(NodeId id) const {
  return has_kind(id, Kind::kGlobal) ? &known_global(size_t(node(id).integer)) : nullptr;
}

int64_t PickleBuilder::count_of(NodeId id, const char* what) const {
  if (!has_kind(id, Kind::kInteger) || node(id).integer < 0)
    fail(fmt::format("a {} that is not a number of at least 0", what));
  return node(id).integer;
}

std::vector<int64_t> PickleBuilder::counts_of(NodeId id, const char* what) {
  if (!has_kind(id, Kind::kTuple) && !has_kind(id, Kind::kList))
    fail(fmt::format("a {} that is not a list of numbers", what));
  if (node(id).items.size() > kLargestRank)
    fail(fmt::format("a tensor of more than {} dimensions", kLargestRank));
  count_copies(node(id).items.size());
  std::vector<int64_t> counts;
  for (const NodeId item : node(id).items) counts.push_back(count_of(item, what));
  return counts;
}

// Persistent id: ("storage", type, key, device, number of elements). The old layout adds a view, which must
// be None.
NodeId PickleBuilder::add_storage(NodeId persistent_id) {
  const Arguments parts = node(persistent_id).items;
  const bool is_tuple = has_kind(persistent_id, Kind::kTuple) && (parts.size() == 5 || parts.size() == 6);
  if (!is_tuple || !has_kind(parts[0], Kind::kText) || node(parts[0]).text != "storage")
    fail("a persistent object that is not a storage");
  if (parts.size() == 6 && !has_kind(parts[5], Kind::kNone)) fail("a storage that is a view of another");
  const KnownGlobal* type = as_global(parts[1]);
  if (type == nullptr ||
      (type->role != GlobalRole::kStorageType && type->role != GlobalRole::kUntypedStorage))
    fail("a storage of an unknown type");
  if (!has_kind(parts[2], Kind::kText) || !has_kind(parts[3], Kind::kText))
    fail("a storage whose key or device is not a string");
  if (node(parts[2]).text.size() > kLongestKey) fail("a storage whose key is too long");
  StorageSpec spec{
      .key = node(parts[2]).text, .dtype = type->dtype, .untyped = type->role == GlobalRole::kUntypedStorage};
  const auto numel = uint64_t(count_of(parts[4], "storage length"));
  if (numel > bytes_.file_bytes() / c10::elementSize(spec.dtype))
    fail(fmt::format("storage {} of {} elements is larger than the file", shown(spec.key), numel));
  spec.bytes = numel * c10::elementSize(spec.dtype);

  const auto [found, is_new] = storage_of_key_.emplace(spec.key, graph_.storages.size());
  if (is_new) {
    graph_.storages.push_back(std::move(spec));
  } else if (const auto& known = graph_.storages[found->second];
             known.dtype != spec.dtype || known.untyped != spec.untyped || known.bytes != spec.bytes) {
    fail(fmt::format("storage {} is described in two ways", shown(spec.key)));
  }
  return add({.kind = Kind::kStorage, .integer = int64_t(found->second)});
}

NodeId PickleBuilder::call(NodeId function, NodeId arguments_id) {
  if (has_kind(function, Kind::kOpaque)) return add_opaque(node(function).text);
  const KnownGlobal* global = as_global(function);
  if (global == nullptr || !has_kind(arguments_id, Kind::kTuple))
    fail("a call of a value that is not a known function");
  if (node(arguments_id).items.size() > kMostArguments) fail("a call with too many arguments");
  const Arguments arguments = node(arguments_id).items;
  switch (global->role) {
    case GlobalRole::kOrderedDict:
      return ordered_dict(arguments);
    case GlobalRole::kSequence:
      return sequence(arguments);
    case GlobalRole::kDefaultDict:
      return add_sequence(Kind::kDict, {});
    case GlobalRole::kDevice:
      return add_opaque(global->name);
    case GlobalRole::kRebuildTensor:
      return tensor(arguments, /*has_dtype=*/false);
    case GlobalRole::kRebuildTensorV3:
      return tensor(arguments, /*has_dtype=*/true);
    case GlobalRole::kRebuildParameter:
      if (arguments.empty() || !has_kind(arguments[0], Kind::kTensor)) fail("a parameter without a tensor");
      return arguments[0];
    case GlobalRole::kRebuildFromType:
      return from_type(arguments);
    default:
      fail(fmt::format("a call of {}, which is not a function", global->name));
  }
}

// A tensor with attributes. Classes other than PyTorch's own compute with their values in another way.
NodeId PickleBuilder::from_type(const Arguments& arguments) {
  if (arguments.size() < 3) fail("a tensor of a class with too few parts");
  const std::string& type = node(arguments[1]).text;
  if (type != "torch.Tensor" && type != "torch.nn.parameter.Parameter")
    fail(fmt::format("a tensor of the class {}, which is not supported. Save dense tensors", shown(type)));
  if (const KnownGlobal* function = as_global(arguments[0]);
      function != nullptr && function->role == GlobalRole::kRebuildFromType)
    fail("a tensor of a class inside another");
  return call(arguments[0], arguments[2]);
}

NodeId PickleBuilder::make_object(NodeId type) {
  if (!has_kind(type, Kind::kOpaque)) fail("an object of a class that is not known");
  return add_opaque(node(type).text);
}

// The state is dropped: an OrderedDict has a module's _metadata, and opaque objects are not inspected.
void PickleBuilder::set_state(NodeId object, NodeId state) {
  if (has_kind(object, Kind::kOpaque)) return;
  if (!has_kind(state, Kind::kDict)) fail("an object whose state is not a dictionary");
  if (!has_kind(object, Kind::kDict)) fail("state for a value that has no state");
}

NodeId PickleBuilder::ordered_dict(const Arguments& arguments) {
  std::vector<NodeId> items;
  if (arguments.size() > 1 || (arguments.size() == 1 && !has_kind(arguments[0], Kind::kList)))
    fail("an OrderedDict that is not made from a list of pairs");
  if (arguments.size() == 1) {
    count_copies(2 * node(arguments[0]).items.size());
    for (const NodeId pair : node(arguments[0]).items) {
      const bool is_sequence = has_kind(pair, Kind::kList) || has_kind(pair, Kind::kTuple);
      if (!is_sequence || node(pair).items.size() != 2)
        fail("an OrderedDict that is not made from a list of pairs");
      items.insert(items.end(), node(pair).items.begin(), node(pair).items.end());
    }
  }
  return add_sequence(Kind::kDict, std::move(items));
}

NodeId PickleBuilder::sequence(const Arguments& arguments) {
  if (arguments.size() > 1) fail("a sequence with too many arguments");
  if (arguments.empty()) return add_sequence(Kind::kList, {});
  if (!has_kind(arguments[0], Kind::kList) && !has_kind(arguments[0], Kind::kTuple))
    fail("a set or size that is not made from a list");
  count_copies(node(arguments[0]).items.size());
  return add_sequence(Kind::kList, node(arguments[0]).items);
}

NodeId PickleBuilder::tensor(const Arguments& arguments, bool has_dtype) {
  if (arguments.size() < (has_dtype ? 7 : 4)) fail("a tensor with too few parts");
  if (!has_kind(arguments[0], Kind::kStorage)) fail("a tensor without a storage");
  TensorSpec spec{.storage = size_t(node(arguments[0]).integer),
                  .offset = count_of(arguments[1], "tensor offset"),
                  .sizes = counts_of(arguments[2], "tensor size"),
                  .strides = counts_of(arguments[3], "tensor stride")};
  const StorageSpec& storage = graph_.storages[spec.storage];
  if (storage.untyped != has_dtype) fail("a tensor without a type");
  spec.dtype = storage.dtype;
  if (has_dtype) {
    const KnownGlobal* dtype = as_global(arguments[6]);
    if (dtype == nullptr || dtype->role != GlobalRole::kDtype) fail("a tensor of an unknown type");
    spec.dtype = dtype->dtype;
  }
  require_plain_values(arguments, has_dtype ? 7 : 6);
  check_view(spec);
  graph_.tensors.push_back(std::move(spec));
  return add({.kind = Kind::kTensor, .integer = int64_t(graph_.tensors.size() - 1)});
}

// PyTorch negates or conjugates lazily: the storage holds other values, and a flag says so.
void PickleBuilder::require_plain_values(const Arguments& arguments, size_t flags) {
  if (flags >= arguments.size() || !has_kind(arguments[flags], Kind::kDict)) return;
  const Arguments items = node(arguments[flags]).items;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const bool is_set = has_kind(items[i + 1], Kind::kBool) && node(items[i + 1]).integer != 0;
    if (is_set && has_kind(items[i], Kind::kText))
      fail(
          fmt::format("a tensor with the flag {}, whose values are not those in its storage. Save "
                      "tensor.resolve_neg().resolve_conj()",
                      shown(node(items[i]).text)));
  }
}

void PickleBuilder::check_view(const TensorSpec& tensor) {
  if (tensor.sizes.size() != tensor.strides.size()) fail("a tensor whose sizes and strides differ in number");
  const uint64_t storage_bytes = graph_.storages[tensor.storage].bytes,
                 element = c10::elementSize(tensor.dtype);
  int64_t bytes = int64_t(element), last = tensor.offset;
  bool overflow = false, is_empty = false;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    const int64_t size = std::max<int64_t>(tensor.sizes[i], 1);
    int64_t extent = 0;
    is_empty |= tensor.sizes[i] == 0;
    overflow |= __builtin_mul_overflow(bytes, size, &bytes);
    overflow |= __builtin_mul_overflow(size - 1, tensor.strides[i], &extent);
    overflow |= __builtin_add_overflow(last, extent, &last);
  }
  if (overflow) fail("a tensor whose size overflows");
  if (is_empty) return;  // its offset may be beyond the storage: a slice of an empty tensor
  if (uint64_t(last) >= storage_bytes / element) fail("a tensor that reaches beyond its storage");
  if (uint64_t(bytes) <= storage_bytes) return;
  if (__builtin_add_overflow(expanded_bytes_, bytes, &expanded_bytes_) ||
      uint64_t(expanded_bytes_) > std::max(4 * bytes_.file_bytes(), kLargestExpandedBytes))
    fail(fmt::format("a tensor that repeats its storage; together such tensors have over {} bytes",
                     std::max(4 * bytes_.file_bytes(), kLargestExpandedBytes)));
}

PickleGraph PickleBuilder::take(NodeId root) {
  graph_.root = root;
  return std::move(graph_);
}

}  // namespace pixart::formats
