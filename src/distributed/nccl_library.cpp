#include "nccl_library.h"

#include <dlfcn.h>

#include "pixart/base/error.h"

namespace pixart::distributed {

namespace {

[[noreturn]] void throw_unusable(const std::string& what) {
  throw UserError(
      fmt::format(
          "cannot use NCCL: {}. NCCL comes with the CUDA build of LibTorch (scripts/setup.sh); device: cpu "
          "does not need it.",
          what),
      ExitCode::kDevice);
}

NcclLibrary load() {
  void* handle = ::dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    throw_unusable(reason != nullptr ? reason : "libnccl.so.2 is missing");
  }
  const auto find = [&](auto& function, const char* name) {
    void* symbol = ::dlsym(handle, name);
    if (symbol == nullptr) throw_unusable(fmt::format("libnccl.so.2 has no {}", name));
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  NcclLibrary library{};
  find(library.get_version, "ncclGetVersion");
  find(library.get_error_string, "ncclGetErrorString");
  find(library.get_last_error, "ncclGetLastError");
  find(library.get_unique_id, "ncclGetUniqueId");
  find(library.comm_init_rank, "ncclCommInitRank");
  find(library.comm_destroy, "ncclCommDestroy");
  find(library.comm_abort, "ncclCommAbort");
  find(library.comm_get_async_error, "ncclCommGetAsyncError");
  find(library.all_reduce, "ncclAllReduce");
  find(library.reduce, "ncclReduce");
  find(library.reduce_scatter, "ncclReduceScatter");
  find(library.all_gather, "ncclAllGather");
  find(library.broadcast, "ncclBroadcast");
  return library;
}

}  // namespace

const NcclLibrary& nccl_library() {
  static const NcclLibrary library = load();
  return library;
}

}  // namespace pixart::distributed
