#include "parquet_library.h"

#include <dlfcn.h>

#include <filesystem>

#include "pixart/base/error.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

constexpr const char* kLibrary = "libpixart_parquet.so";

// Next to the program, where the build puts it; otherwise its bare name.
std::string library_path() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path near = program.parent_path() / kLibrary;
  return !error && fs::exists(near, error) ? near.string() : kLibrary;
}

// Arrow's symbols stay its own (RTLD_LOCAL): LibTorch has other versions of some libraries that both contain.
const ParquetPlugin* load(std::string& reason) {
  void* handle = ::dlopen(library_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  void* function = handle != nullptr ? ::dlsym(handle, kParquetPluginFunction) : nullptr;
  if (function == nullptr) {
    const char* text = ::dlerror();
    reason = text != nullptr ? text : "unknown reason";
    return nullptr;
  }
  const ParquetPlugin* plugin = reinterpret_cast<ParquetPluginFunction>(function)();
  if (plugin->version == kParquetPluginVersion) return plugin;
  reason = fmt::format("it has version {}, not {}; build it again", plugin->version, kParquetPluginVersion);
  return nullptr;
}

}  // namespace

const ParquetPlugin& parquet_plugin() {
  static std::string reason;
  static const ParquetPlugin* plugin = load(reason);
  if (plugin == nullptr)
    throw UserError(fmt::format(
        "Parquet files are read by {}, which cannot be loaded: {}. The build makes it where it finds the package "
        "pyarrow: run scripts/setup.sh and then scripts/build.sh, or convert the files to JSONL.",
        kLibrary, reason));
  return *plugin;
}

}  // namespace pixart::data
