#include "streams.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "record.h"

namespace fake_gpu {

namespace {

struct Pending {
  Stream stream;
  int64_t time;
  const void* memory;
  std::function<void(bool freed)> finish;
};

struct State {
  std::mutex mutex;
  std::condition_variable freed;
  std::map<Stream, Clock> streams;
  Clock host;  // what the host has waited for: all that it starts comes after
  std::set<Stream> stalled;
  std::set<int> contexts;
  std::vector<Pending> pending;
  int64_t next_stream = 1;
};
State& state() {
  static auto* result = new State;
  return *result;
}

std::atomic<bool> g_broken{false};

// cudaGetDevice, and the device that was chosen without a context (-1: none).
thread_local int t_device = 0, t_chosen = -1;
thread_local std::map<int, int64_t> t_streams;
thread_local Clock t_known;  // what this thread has seen to be done without waiting

void cuda_set_device(int device) {  // makes the context since CUDA 12
  t_device = device;
  make_context(device);
}

const Clock& advance(Stream stream) {
  Clock& clock = state().streams[stream];
  ++clock[stream];
  return clock;
}

// The host knows that all before this moment is done.
void finish_pending(const Clock& clock) {
  auto& pending = state().pending;
  const auto is_later = [&](const Pending& one) {
    const auto known = clock.find(one.stream);
    return known == clock.end() || known->second < one.time;
  };
  const auto done = std::stable_partition(pending.begin(), pending.end(), is_later);
  for (auto one = done; one != pending.end(); ++one) one->finish(false);
  pending.erase(done, pending.end());
}

void wait_while_stalled(Stream stream, bool after_stall, std::unique_lock<std::mutex>& lock) {
  if (after_stall) state().freed.wait(lock, [&] { return state().stalled.count(stream) == 0; });
}

}  // namespace

int current_device() { return t_chosen >= 0 ? t_chosen : t_device; }

void set_device(int device) {
  t_chosen = -1;
  if (device != t_device) cuda_set_device(device);
}

void choose_device(int device) {
  if (has_context(device))
    set_device(device);
  else
    t_chosen = device;
}

int exchange_device(int device) {
  const int before = current_device();
  const bool was_chosen = t_chosen >= 0;
  t_chosen = -1;
  if (was_chosen || device != before) cuda_set_device(device);
  return before;
}

int exchange_device_lazily(int device) {
  const int before = current_device();
  if (device != before) choose_device(device);
  return before;
}

bool has_context(int device) {
  const std::scoped_lock lock(state().mutex);
  return state().contexts.count(device) != 0;
}

void make_context(int device) {
  {
    const std::scoped_lock lock(state().mutex);
    if (!state().contexts.insert(device).second) return;
  }
  count_context(device);
}

Stream current_stream(int device) { return stream_of(device, t_streams[device]); }

Stream exchange_stream(Stream stream) {
  const Stream before = current_stream(device_of(stream));
  t_streams[device_of(stream)] = id_of(stream);
  return before;
}

Stream new_stream(int device) {
  const std::scoped_lock lock(state().mutex);
  return stream_of(device, state().next_stream++);
}

void* handle_of(Stream stream) { return id_of(stream) == 0 ? nullptr : reinterpret_cast<void*>(stream << 4); }

Stream stream_of_handle(void* handle) {
  return handle == nullptr ? stream_of(current_device(), 0) : reinterpret_cast<int64_t>(handle) >> 4;
}

void join(Clock& clock, const Clock& other) {
  for (const auto& [stream, time] : other) clock[stream] = std::max(clock[stream], time);
}

Event record_event(Stream stream) {
  const std::scoped_lock lock(state().mutex);
  join(state().streams[stream], t_known);
  return {advance(stream), stream, state().stalled.count(stream) != 0, modelled_milliseconds()};
}

void block_stream(Stream stream, const Event& event) {
  const std::scoped_lock lock(state().mutex);
  join(state().streams[stream], event.clock);
  if (event.after_stall && state().stalled.count(event.stream) != 0) state().stalled.insert(stream);
}

bool is_done(const Event& event) {
  const std::scoped_lock lock(state().mutex);
  if (event.after_stall && state().stalled.count(event.stream) != 0) return false;
  join(t_known, event.clock);
  finish_pending(event.clock);
  return true;
}

void wait_for_event(const Event& event, const char* what) {
  count_wait(what);
  std::unique_lock lock(state().mutex);
  wait_while_stalled(event.stream, event.after_stall, lock);
  join(state().host, event.clock);
  finish_pending(event.clock);
}

void wait_for_stream(Stream stream, const char* what) {
  count_wait(what);
  std::unique_lock lock(state().mutex);
  wait_while_stalled(stream, true, lock);
  join(state().host, advance(stream));
  finish_pending(state().host);
}

void wait_for_device(int device, const char* what) {
  count_wait(what);
  std::unique_lock lock(state().mutex);
  std::set<Stream> streams;
  for (const auto& [stream, clock] : state().streams)
    if (device_of(stream) == device) streams.insert(stream);
  for (const Stream stream : streams) {
    wait_while_stalled(stream, true, lock);
    join(state().host, advance(stream));
  }
  finish_pending(state().host);
}

void join_streams(Stream stream, Stream user) {
  const std::scoped_lock lock(state().mutex);
  join(state().streams[stream], advance(user));
}

Work begin_work(Stream stream) {
  const std::scoped_lock lock(state().mutex);
  Clock& clock = state().streams[stream];
  join(clock, state().host);
  join(clock, t_known);
  return {clock, stream, advance(stream).at(stream)};
}

void when_known_done(const Work& work, const void* memory, std::function<void(bool)> finish) {
  const std::scoped_lock lock(state().mutex);
  state().pending.push_back({work.stream, work.time, memory, std::move(finish)});
}

void finish_early(const void* memory) {
  const std::scoped_lock lock(state().mutex);
  auto& pending = state().pending;
  const auto found = std::stable_partition(pending.begin(), pending.end(),
                                           [&](const Pending& one) { return one.memory != memory; });
  for (auto one = found; one != pending.end(); ++one) one->finish(true);
  pending.erase(found, pending.end());
}

void stall(Stream stream) {
  const std::scoped_lock lock(state().mutex);
  state().stalled.insert(stream);
}

void free_stalled() {
  const std::scoped_lock lock(state().mutex);
  state().stalled.clear();
  state().freed.notify_all();
}

void break_device() { g_broken = true; }
bool is_broken() { return g_broken; }

}  // namespace fake_gpu
