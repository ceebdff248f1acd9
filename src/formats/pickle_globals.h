// The complete list of names that a pickle may ask for. None of them is imported or called: each has a role
// that this reader plays itself.
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

// Its number for known_global(), or nothing for a name that is not on the list.
std::optional<size_t> find_global(const std::string& dotted_name);
const KnownGlobal& known_global(size_t number);

// The global that stands for `dtype` in a role (kStorageType, kDtype), or nothing.
const KnownGlobal* global_for(GlobalRole role, at::ScalarType dtype);

}  // namespace pixart::formats
