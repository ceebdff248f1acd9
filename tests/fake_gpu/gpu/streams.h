// Current devices, contexts, streams and events of the fake GPU. Work runs at once, in the thread that starts
// it; the order that a GPU would guarantee is kept as vector clocks, from which races.h finds what is not
// ordered.
#pragma once
#include <cstdint>
#include <functional>
#include <map>

namespace fake_gpu {

// A stream of a device as one number: the device times 2^32, and LibTorch's id of the stream.
using Stream = int64_t;
inline Stream stream_of(int device, int64_t id) { return (int64_t(device) << 32) | id; }
inline int device_of(Stream stream) { return int(stream >> 32); }
inline int64_t id_of(Stream stream) { return stream & 0xffffffff; }

// The rules of c10::cuda: a device may be chosen without making its context.
int current_device();
void set_device(int device);
void choose_device(int device);  // makes no context
int exchange_device(int device);
int exchange_device_lazily(int device);
bool has_context(int device);
void make_context(int device);  // memory or a kernel needs it

// Of the calling thread.
Stream current_stream(int device);
Stream exchange_stream(Stream stream);
Stream new_stream(int device);
// cudaStream_t; null is the default stream of the current device.
void* handle_of(Stream stream);
Stream stream_of_handle(void* handle);

using Clock = std::map<Stream, int64_t>;
void join(Clock& clock, const Clock& other);

// A point in the work of a stream.
struct Event {
  Clock clock;
  Stream stream = 0;
  bool after_stall = false;
  double milliseconds = 0;  // modelled
};
Event record_event(Stream stream);
void block_stream(Stream stream, const Event& event);
bool is_done(const Event& event);
// The host waits; `what` is counted.
void wait_for_event(const Event& event, const char* what);
void wait_for_stream(Stream stream, const char* what);
void wait_for_device(int device, const char* what);
// Memory goes from the users to the stream that allocated it, when the users are done.
void join_streams(Stream stream, Stream user);

// Work begins: what it must come after, with its own time.
struct Work {
  Clock clock;
  Stream stream;
  int64_t time;
};
Work begin_work(Stream stream);

// Calls `finish` when the host knows that the work is done, or, with `freed`, when finish_early() is called
// for the memory before.
void when_known_done(const Work& work, const void* memory, std::function<void(bool freed)> finish);
void finish_early(const void* memory);

// A stalled stream finishes nothing that is recorded on it, until all are freed.
void stall(Stream stream);
void free_stalled();

// The device is broken: every later wait, query and launch fails.
void break_device();
bool is_broken();

}  // namespace fake_gpu
