// The names that a pickle may use. None of them is imported or called: a known one has a role, and this
// reader does the work of that role itself. Other names (classes of training programs, NumPy, dates, paths)
// stay names: an object made with one is passed over, with everything in it. Refused are names that run
// programs or code, and names of PyTorch that are not known, because they may be weights.
#pragma once
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <optional>
#include <string>

namespace pixart::formats {

enum class GlobalRole {
  kOrderedDict,  // () or (list of pairs)
  kDefaultDict,  // (factory): an empty dictionary
  kSequence,     // (elements): sets and torch.Size become lists
  kDevice,       // (text): an opaque value
  kDtype,
  kStorageType,  // of elements of `dtype`
  kUntypedStorage,
  kRebuildTensor,     // (storage, offset, sizes, strides, ...)
  kRebuildTensorV3,   // the same, then requires_grad, hooks, dtype
  kRebuildParameter,  // (tensor, ...)
  kRebuildFromType,   // (function of the above, class, its arguments, state)
};

struct KnownGlobal {
  const char* name;  // module and attribute, joined by a dot
  GlobalRole role;
  at::ScalarType dtype = at::kByte;
};

// The index of a name for known_global(); nullopt for a name that is not in the list.
std::optional<size_t> find_global(const std::string& dotted_name);
const KnownGlobal& known_global(size_t number);

// Why a name that is not known is refused, to follow "the file asks for 'x', which"; "" if objects made with
// it are passed over.
std::string refusal_of_global(const std::string& dotted_name);

// The global with the role `role` (kStorageType, kDtype) for `dtype`; null if there is none.
const KnownGlobal* global_for(GlobalRole role, at::ScalarType dtype);

}  // namespace pixart::formats
