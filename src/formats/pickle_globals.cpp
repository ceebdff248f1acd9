#include "pickle_globals.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <string_view>

namespace pixart::formats {

namespace {

using enum GlobalRole;

constexpr KnownGlobal kGlobals[] = {
    {"collections.OrderedDict", kOrderedDict},
    {"collections.defaultdict", kDefaultDict},
    {"torch._utils._rebuild_tensor", kRebuildTensor},
    {"torch._utils._rebuild_tensor_v2", kRebuildTensor},
    {"torch._utils._rebuild_tensor_v3", kRebuildTensorV3},
    {"torch._utils._rebuild_parameter", kRebuildParameter},
    {"torch._utils._rebuild_parameter_with_state", kRebuildParameter},
    {"torch._tensor._rebuild_from_type_v2", kRebuildFromType},
    {"torch.Size", kSequence},
    {"__builtin__.set", kSequence},
    {"__builtin__.frozenset", kSequence},
    {"builtins.set", kSequence},
    {"builtins.frozenset", kSequence},
    {"torch.device", kDevice},
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

namespace {

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool runs_code(std::string_view name) {
  const std::string_view module = name.substr(0, name.find('.'));
  if (is_one_of(module, {"builtins", "__builtin__"})) {
    return !is_one_of(
        name.substr(module.size() + 1),
        {"list", "dict", "tuple", "int", "float", "bool", "str", "bytes", "bytearray", "complex", "range",
         "xrange", "slice", "object", "long", "unicode", "NoneType", "Ellipsis"});
  }
  return is_one_of(module,
                   {"os",         "posix",     "nt",         "ntpath",         "posixpath", "sys",
                    "subprocess", "commands",  "shutil",     "socket",         "pty",       "runpy",
                    "ctypes",     "importlib", "code",       "codeop",         "marshal",   "pickle",
                    "_pickle",    "cPickle",   "dill",       "cloudpickle",    "types",     "operator",
                    "_operator",  "imp",       "pip",        "timeit",         "pdb",       "bdb",
                    "asyncio",    "signal",    "webbrowser", "multiprocessing"});
}

// PyTorch's side objects, which hold no weights.
bool is_beside_weights(std::string_view name) {
  for (const std::string_view begin : {"torch.optim.", "torch.torch_version.", "torch.utils.data.",
                                       "torch.amp.", "torch.cuda.amp.", "torch.distributions."})
    if (name.starts_with(begin)) return true;
  return is_one_of(
      name, {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.Parameter", "torch.Generator",
             "torch.strided", "torch.preserve_format", "torch.contiguous_format", "torch.channels_last"});
}

std::string hint_for(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (has("sparse")) return " Sparse tensors are not supported.";
  if (has("qtensor") || has("torch.Q") || has("torch.qint") || has("torch.quint") || has("wrapper_subclass"))
    return " Quantised tensors are not supported: bring the weights in float32, float16 or bfloat16.";
  if (has("float4") || has("torch.int") || has("torch.uint") || has("torch.bits"))
    return " A type of less than a byte is not supported: bring the weights in float32, float16 or bfloat16.";
  if (has("meta_tensor")) return " A tensor on the device 'meta' has no values.";
  if (has("distributed")) return " The tensors of one rank are not supported: save the whole ones.";
  if (name.starts_with("torch.nn.modules."))
    return " The file is a pickled module, which only its Python class can rebuild.";
  return "";
}

}  // namespace

std::string refusal_of_global(const std::string& dotted_name) {
  if (runs_code(dotted_name)) return "can run programs or code; no weights need it. Do not open it in Python";
  if (!dotted_name.starts_with("torch.") || is_beside_weights(dotted_name)) return "";
  return fmt::format(
      "is not allowed in a file of weights (dense tensors, lists, dictionaries, plain values).{} "
      "Save only the weights, torch.save(model.state_dict(), ...), or as safetensors",
      hint_for(dotted_name));
}

const KnownGlobal* global_for(GlobalRole role, at::ScalarType dtype) {
  for (const auto& global : kGlobals)
    if (global.role == role && global.dtype == dtype) return &global;
  return nullptr;
}

}  // namespace pixart::formats
