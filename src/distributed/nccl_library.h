// The functions of NCCL 2 that are used, loaded from libnccl.so.2 at run time.
//
// LibTorch's own NCCL process group is in libtorch_cuda, which is not linked (cmake/FindLibTorch.cmake) and
// whose headers need those of CUDA. So NCCL is called directly. The declarations are those of nccl.h, whose
// binary interface has been stable since 2.0, so this compiles on every machine.
#pragma once
#include <cstddef>
#include <string>

namespace pixart::distributed {

struct NcclId {
  char bytes[128];
};

struct NcclLibrary {
  using Comm = void*;
  using Stream = void*;
  using Result = int;  // 0: success
  enum Type : int { kInt8 = 0, kInt64 = 4, kFloat32 = 7, kFloat64 = 8 };
  static constexpr int kSum = 0;

  Result (*get_version)(int* version);
  const char* (*get_error_string)(Result result);
  const char* (*get_last_error)(Comm comm);
  Result (*get_unique_id)(NcclId* id);
  Result (*comm_init_rank)(Comm* comm, int num_ranks, NcclId id, int rank);
  Result (*comm_destroy)(Comm comm);
  Result (*comm_abort)(Comm comm);
  Result (*comm_get_async_error)(Comm comm, Result* error);
  Result (*all_reduce)(const void* send, void* receive, size_t count, int type, int operation, Comm comm,
                       Stream stream);
  Result (*reduce)(const void* send, void* receive, size_t count, int type, int operation, int root,
                   Comm comm, Stream stream);
  Result (*reduce_scatter)(const void* send, void* receive, size_t receive_count, int type, int operation,
                           Comm comm, Stream stream);
  Result (*all_gather)(const void* send, void* receive, size_t send_count, int type, Comm comm,
                       Stream stream);
  Result (*broadcast)(const void* send, void* receive, size_t count, int type, int root, Comm comm,
                      Stream stream);
};

// Loads NCCL once. Throws UserError(kDevice) with the remedy. If libtorch_cuda was loaded before, NCCL is
// loaded with it.
const NcclLibrary& nccl_library();

}  // namespace pixart::distributed
