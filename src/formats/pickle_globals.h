// The complete list of names that a pickle may use. None of them is imported or called: each has a role, and
// this reader does the work of that role itself.
#pragma once
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <optional>
#include <string>

namespace pixart::formats {

enum class GlobalRole {
  kOrderedDict,  // () or (list of pairs)
  kSequence,     // (elements): sets and torch.Size become lists
  kDevice,       // (text): an opaque value
  kOpaqueClass,  // made without arguments; its state is dropped
  kDtype,
  kStorageType,  // of elements of `dtype`
  kUntypedStorage,
  kRebuildTensor,     // (storage, offset, sizes, strides, ...)
  kRebuildTensorV3,   // the same, then requires_grad, hooks, dtype
  kRebuildParameter,  // (tensor, ...)
};

struct KnownGlobal {
  const char* name;  // module and attribute, joined by a dot
  GlobalRole role;
  at::ScalarType dtype = at::kByte;
};

// The index of a name for known_global(); nullopt for a name that is not in the list.
std::optional<size_t> find_global(const std::string& dotted_name);
const KnownGlobal& known_global(size_t number);

// The global with the role `role` (kStorageType, kDtype) for `dtype`; null if there is none.
const KnownGlobal* global_for(GlobalRole role, at::ScalarType dtype);

}  // namespace pixart::formats
