#include "pickle_globals.h"

#include <iterator>
#include <string_view>

namespace pixart::formats {

namespace {

using enum GlobalRole;

constexpr KnownGlobal kGlobals[] = {
    {"collections.OrderedDict", kOrderedDict},
    {"torch._utils._rebuild_tensor", kRebuildTensor},
    {"torch._utils._rebuild_tensor_v2", kRebuildTensor},
    {"torch._utils._rebuild_tensor_v3", kRebuildTensorV3},
    {"torch._utils._rebuild_parameter", kRebuildParameter},
    {"torch._utils._rebuild_parameter_with_state", kRebuildParameter},
    {"torch.Size", kSequence},
    {"__builtin__.set", kSequence},
    {"__builtin__.frozenset", kSequence},
    {"builtins.set", kSequence},
    {"builtins.frozenset", kSequence},
    {"torch.device", kDevice},
    {"argparse.Namespace", kOpaqueClass},
    {"pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", kOpaqueClass},
    {"torch.storage.UntypedStorage", kUntypedStorage},
    {"torch.UntypedStorage", kUntypedStorage},
    {"torch.DoubleStorage", kStorageType, at::kDouble},
    {"torch.FloatStorage", kStorageType, at::kFloat},
    {"torch.HalfStorage", kStorageType, at::kHalf},
    {"torch.BFloat16Storage", kStorageType, at::kBFloat16},
    {"torch.LongStorage", kStorageType, at::kLong},
    {"torch.IntStorage", kStorageType, at::kInt},
    {"torch.ShortStorage", kStorageType, at::kShort},
    {"torch.CharStorage", kStorageType, at::kChar},
    {"torch.ByteStorage", kStorageType, at::kByte},
    {"torch.BoolStorage", kStorageType, at::kBool},
    {"torch.ComplexFloatStorage", kStorageType, at::kComplexFloat},
    {"torch.ComplexDoubleStorage", kStorageType, at::kComplexDouble},
    {"torch.float64", kDtype, at::kDouble},
    {"torch.float32", kDtype, at::kFloat},
    {"torch.float16", kDtype, at::kHalf},
    {"torch.bfloat16", kDtype, at::kBFloat16},
    {"torch.int64", kDtype, at::kLong},
    {"torch.int32", kDtype, at::kInt},
    {"torch.int16", kDtype, at::kShort},
    {"torch.int8", kDtype, at::kChar},
    {"torch.uint8", kDtype, at::kByte},
    {"torch.bool", kDtype, at::kBool},
    {"torch.uint16", kDtype, at::kUInt16},
    {"torch.uint32", kDtype, at::kUInt32},
    {"torch.uint64", kDtype, at::kUInt64},
    {"torch.float8_e4m3fn", kDtype, at::kFloat8_e4m3fn},
    {"torch.float8_e5m2", kDtype, at::kFloat8_e5m2},
    {"torch.float8_e4m3fnuz", kDtype, at::kFloat8_e4m3fnuz},
    {"torch.float8_e5m2fnuz", kDtype, at::kFloat8_e5m2fnuz},
    {"torch.float8_e8m0fnu", kDtype, at::kFloat8_e8m0fnu},
};

}  // namespace

std::optional<size_t> find_global(const std::string& dotted_name) {
  for (size_t i = 0; i < std::size(kGlobals); ++i) {
    if (dotted_name == kGlobals[i].name) return i;
  }
  return std::nullopt;
}

const KnownGlobal& known_global(size_t number) { return kGlobals[number]; }

const KnownGlobal* global_for(GlobalRole role, at::ScalarType dtype) {
  for (const auto& global : kGlobals)
    if (global.role == role && global.dtype == dtype) return &global;
  return nullptr;
}

}  // namespace pixart::formats
