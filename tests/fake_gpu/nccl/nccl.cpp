// The functions of NCCL that the program loads, with real sums in the order of the ranks. A call returns when
// it is done (NCCL's would be done later), so a lost rank keeps the host waiting.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "../gpu/interface.h"
#include "../gpu/settings.h"
#include "meeting.h"
#include "sums.h"

namespace fake_gpu {

namespace {

enum Result : int {
  kSuccess = 0,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6
};

struct Id {
  char bytes[128];
};

struct Comm {
  std::unique_ptr<Meeting> meeting;
  int64_t calls = 0;
  std::atomic<int> asynchronous_error{kSuccess};
};

char g_last_error[1024] = "";

// Functions of the fake GPU; null without it, and then memory is the host's.
template <class Function>
Function* find(Function*, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
}
#define PIXART_FIND(name) find(&name, #name)

template <class T>
T* seen(T* memory) {
  static const auto seen_by_kernels = PIXART_FIND(fake_gpu_seen_by_kernels);
  void* seen = seen_by_kernels == nullptr ? nullptr : seen_by_kernels(memory);
  return seen == nullptr ? memory : static_cast<T*>(seen);
}

// A call of all ranks. `send` and `receive` are in bytes; `handle` works on a part that fits into a room.
struct Call {
  std::string name;
  const void* send;
  size_t send_bytes;
  void* receive;
  size_t receive_bytes;
  size_t count;
  int type, root;
  Comm* comm;
  void* stream;
};

void note(const Call& call) {
  static const auto touch = PIXART_FIND(fake_gpu_touch);
  static const auto add_collective = PIXART_FIND(fake_gpu_add_collective);
  if (touch == nullptr) return;
  const std::string what = "nccl " + call.name;
  touch(call.send, call.send_bytes, 0, call.stream, what.c_str());
  touch(call.receive, call.receive_bytes, 1, call.stream, what.c_str());
  const std::string text = call.name + " count " + std::to_string(call.count) + " type " +
                           std::to_string(call.type) + " root " + std::to_string(call.root);
  add_collective(text.c_str(), call.stream);
}

// What the environment asks to happen at this call: hang, stall, stuck, async, fail or die; empty: nothing. A rank
// whose peer hangs or stalls waits on the GPU, as with NCCL; in the first call NCCL connects, and the host waits.
std::string asked_fault(const Comm& comm) {
  static const auto asked = pairs_of("PIXART_FAKE_GPU_NCCL_FAULT");
  if (asked.empty() || asked.at("call") != std::to_string(comm.calls)) return "";
  const std::string how = asked.at("how");
  if (asked.at("rank") == std::to_string(comm.meeting->rank())) return how;
  return comm.calls > 0 && (how == "hang" || how == "stall") ? "wait" : "";
}

// Tests wait for this file; its time is that of the fault.
void note_fault() {
  if (!settings().report.empty()) std::ofstream(settings().report + ".fault");
}

// The call never ends on the device.
int stall(Comm& comm, void* stream, int asynchronous_error) {
  static const auto stall_stream = PIXART_FIND(fake_gpu_stall);
  if (stall_stream != nullptr) stall_stream(stream);
  comm.asynchronous_error = asynchronous_error;
  return kSuccess;
}

int refuse(Result result, const std::string& why) {
  static const auto report_fault = PIXART_FIND(fake_gpu_report_fault);
  std::snprintf(g_last_error, sizeof g_last_error, "%s", why.c_str());
  if (report_fault != nullptr) report_fault(("nccl: " + why).c_str());
  return result;
}

int check_same_call(const Call& call) {
  Meeting& meeting = *call.comm->meeting;
  meeting.say(call.name + " of " + std::to_string(call.count) + " elements of type " +
              std::to_string(call.type) + " from rank " + std::to_string(call.root));
  if (!meeting.meet()) return kRemoteError;
  const std::string mine = meeting.said(meeting.rank());
  std::string difference;
  for (int rank = 0; rank < meeting.ranks() && difference.empty(); ++rank)
    if (meeting.said(rank) != mine)
      difference = "rank " + std::to_string(meeting.rank()) + " calls " + mine + ", rank " +
                   std::to_string(rank) + " " + meeting.said(rank);
  if (!meeting.meet()) return kRemoteError;
  return difference.empty() ? int(kSuccess) : refuse(kInvalidUsage, difference);
}

// Calls exchange(begin, bytes) for one part of the `total` bytes after another.
int exchange(const Call& call, size_t total, const std::function<bool(size_t, size_t)>& exchange_part) {
  if (size_of(call.type) == 0) return refuse(kInvalidArgument, "type " + std::to_string(call.type));
  const std::string fault = asked_fault(*call.comm);
  ++call.comm->calls;
  if (fault == "wait") return stall(*call.comm, call.stream, kSuccess);
  if (!fault.empty()) note_fault();
  if (fault == "die") ::raise(SIGKILL);
  while (fault == "hang") std::this_thread::sleep_for(std::chrono::seconds(1));
  if (fault == "stall") return stall(*call.comm, call.stream, kSuccess);
  if (fault == "async") return stall(*call.comm, call.stream, kRemoteError);
  if (fault == "fail") return refuse(kInternalError, "this call was asked to fail");
  note(call);
  if (const int result = check_same_call(call); result != kSuccess) return result;
  for (size_t at = 0; at < total; at += kRoom)
    if (!exchange_part(at, std::min(kRoom, total - at))) return kRemoteError;
  return fault == "stuck" ? stall(*call.comm, call.stream, kSuccess) : int(kSuccess);
}

const char* part(const void* memory, size_t at) { return static_cast<const char*>(memory) + at; }
char* part(void* memory, size_t at) { return static_cast<char*>(memory) + at; }

}  // namespace

}  // namespace fake_gpu

using namespace fake_gpu;

extern "C" {

int ncclGetVersion(int* version) {
  *version = 22809;
  return kSuccess;
}

const char* ncclGetErrorString(int result) {
  switch (result) {
    case kSuccess:
      return "no error";
    case kInternalError:
      return "internal error";
    case kInvalidUsage:
      return "invalid usage";
    case kRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "invalid argument";
  }
}

const char* ncclGetLastError(void*) { return g_last_error; }

int ncclGetUniqueId(Id* id) {
  static std::atomic<int> number{0};
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->bytes, sizeof id->bytes, "/pixart-fake-nccl-%d-%d", ::getpid(), ++number);
  return kSuccess;
}

int ncclCommInitRank(void** comm, int ranks, Id id, int rank) {
  auto fresh = std::make_unique<Comm>();
  fresh->meeting = std::make_unique<Meeting>(id.bytes, rank, ranks);
  *comm = fresh.release();
  return kSuccess;
}

int ncclCommDestroy(void* comm) {
  delete static_cast<Comm*>(comm);
  return kSuccess;
}

// Callers that wait return; they still use the communicator, so it is kept.
int ncclCommAbort(void* comm) {
  static const auto free_stalled = PIXART_FIND(fake_gpu_free_stalled);
  static_cast<Comm*>(comm)->meeting->abort();
  if (free_stalled != nullptr) free_stalled();
  return kSuccess;
}

int ncclCommGetAsyncError(void* comm, int* error) {
  *error = static_cast<Comm*>(comm)->asynchronous_error;
  return kSuccess;
}

// In all ranks, or in `root` alone: then the other ranks' memory is filled with NaN, as NCCL does not say what it holds.
int sum_to(const char* name, const void* send, void* receive, size_t count, int type, std::optional<int> root,
           void* comm, void* stream) {
  auto* c = static_cast<Comm*>(comm);
  Meeting& meeting = *c->meeting;
  const size_t bytes = count * size_of(type);
  const Call call{name, send, bytes, receive, bytes, count, type, root.value_or(0), c, stream};
  return exchange(call, bytes, [&](size_t at, size_t size) {
    std::memcpy(meeting.room(meeting.rank()), part(seen(send), at), size);
    if (!meeting.meet()) return false;
    char* sum = part(seen(receive), at);
    std::memcpy(sum, meeting.room(0), size);
    for (int rank = 1; rank < meeting.ranks(); ++rank) add(type, sum, meeting.room(rank), size);
    if (root && meeting.rank() != *root) std::memset(sum, 255, size);
    return meeting.meet();
  });
}

int ncclAllReduce(const void* send, void* receive, size_t count, int type, int, void* comm, void* stream) {
  return sum_to("all_reduce", send, receive, count, type, std::nullopt, comm, stream);
}

int ncclReduce(const void* send, void* receive, size_t count, int type, int, int root, void* comm,
               void* stream) {
  return sum_to("reduce", send, receive, count, type, root, comm, stream);
}

int ncclBroadcast(const void* send, void* receive, size_t count, int type, int root, void* comm,
                  void* stream) {
  auto* c = static_cast<Comm*>(comm);
  Meeting& meeting = *c->meeting;
  const size_t bytes = count * size_of(type);
  const Call call{"broadcast", send, bytes, receive, bytes, count, type, root, c, stream};
  return exchange(call, bytes, [&](size_t at, size_t size) {
    if (meeting.rank() == root) std::memcpy(meeting.room(root), part(seen(send), at), size);
    if (!meeting.meet()) return false;
    std::memcpy(part(seen(receive), at), meeting.room(root), size);
    return meeting.meet();
  });
}

int ncclAllGather(const void* send, void* receive, size_t count, int type, void* comm, void* stream) {
  auto* c = static_cast<Comm*>(comm);
  Meeting& meeting = *c->meeting;
  const size_t bytes = count * size_of(type), all = bytes * size_t(meeting.ranks());
  const Call call{"all_gather", send, bytes, receive, all, count, type, 0, c, stream};
  return exchange(call, bytes, [&](size_t at, size_t size) {
    std::memcpy(meeting.room(meeting.rank()), part(seen(send), at), size);
    if (!meeting.meet()) return false;
    for (int rank = 0; rank < meeting.ranks(); ++rank)
      std::memcpy(part(seen(receive), size_t(rank) * bytes + at), meeting.room(rank), size);
    return meeting.meet();
  });
}

int ncclReduceScatter(const void* send, void* receive, size_t count, int type, int, void* comm,
                      void* stream) {
  auto* c = static_cast<Comm*>(comm);
  Meeting& meeting = *c->meeting;
  const size_t bytes = count * size_of(type), all = bytes * size_t(meeting.ranks());
  const Call call{"reduce_scatter", send, all, receive, bytes, count, type, 0, c, stream};
  return exchange(call, bytes, [&](size_t at, size_t size) {
    std::string sum;  // receive may be a part of send
    for (int owner = 0; owner < meeting.ranks(); ++owner) {
      std::memcpy(meeting.room(meeting.rank()), part(seen(send), size_t(owner) * bytes + at), size);
      if (!meeting.meet()) return false;
      if (owner == meeting.rank()) sum.assign(meeting.room(0), size);
      for (int rank = 1; rank < meeting.ranks() && owner == meeting.rank(); ++rank)
        add(type, sum.data(), meeting.room(rank), size);
      if (!meeting.meet()) return false;
    }
    std::memcpy(part(seen(receive), at), sum.data(), size);
    return true;
  });
}
}
