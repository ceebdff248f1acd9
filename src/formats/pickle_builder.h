// Makes the nodes of a PickleGraph and does the work of the known globals.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "pickle_bytes.h"
#include "pickle_globals.h"
#include "pickle_graph.h"

namespace pixart::formats {

// The most values of one pickle, and slots of its stack and memo. A tensor takes about 15.
inline constexpr size_t kMostPickleValues = 2'000'000;
// The most elements that calls copy: sizes and strides of tensors, lists that become sets. The copied value
// may be in the memo, so without a limit a few bytes of the file could copy it again and again.
inline constexpr size_t kMostPickleCopies = 8'000'000;

class PickleBuilder {
 public:
  explicit PickleBuilder(const PickleBytes& bytes) : bytes_(bytes) {}

  void set_place(uint64_t at) { place_ = at; }  // of the opcode, for messages
  [[noreturn]] void fail(const std::string& reason) const { bytes_.fail(place_, reason); }

  NodeId add(PickleNode node);
  NodeId add_sequence(PickleNode::Kind kind, std::vector<NodeId> items) {
    return add({.kind = kind, .items = std::move(items)});
  }
  NodeId add_opaque(const std::string& what) {
    return add({.kind = PickleNode::Kind::kOpaque, .text = what});
  }
  NodeId add_global(const std::string& dotted_name);
  NodeId add_storage(NodeId persistent_id);
  NodeId call(NodeId function, NodeId arguments);
  NodeId make_object(NodeId type);
  void set_state(NodeId object, NodeId state);

  PickleNode& node(NodeId id) { return graph_.nodes[id]; }
  const PickleNode& node(NodeId id) const { return graph_.nodes[id]; }
  PickleGraph take(NodeId root);

 private:
  using Kind = PickleNode::Kind;
  using Arguments = std::vector<NodeId>;
  bool has_kind(NodeId id, Kind kind) const { return node(id).kind == kind; }
  const KnownGlobal* as_global(NodeId id) const;
  int64_t count_of(NodeId id, const char* what) const;
  std::vector<int64_t> counts_of(NodeId id, const char* what);
  void count_copies(size_t count);
  NodeId ordered_dict(const Arguments& arguments);
  NodeId sequence(const Arguments& arguments);
  NodeId tensor(const Arguments& arguments, bool has_dtype);
  NodeId from_type(const Arguments& arguments);
  void require_plain_values(const Arguments& arguments, size_t flags);
  void check_view(const TensorSpec& tensor);

  const PickleBytes& bytes_;
  uint64_t place_ = 0;
  size_t num_copied_ = 0;
  int64_t expanded_bytes_ = 0;  // of tensors that are larger than their storages
  PickleGraph graph_;
  std::map<std::string, size_t> storage_of_key_;
};

}  // namespace pixart::formats
