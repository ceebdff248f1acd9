#include "record.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "memory.h"
#include "place.h"
#include "settings.h"

namespace fake_gpu {

namespace {

struct Kernel {
  int64_t calls = 0;
  double bytes_read = 0, bytes_written = 0;
};
struct Copies {
  int64_t calls = 0;
  double bytes = 0;
};
struct OnHost {
  int64_t calls = 0, largest = 0;
};

struct Record {
  std::mutex mutex;
  std::map<std::pair<std::string, Place>, int64_t> waits;
  std::map<std::string, Kernel> kernels;
  std::map<std::string, Copies> copies;
  std::map<std::string, int64_t> attention, races, faults;
  std::map<std::string, OnHost> operations_on_host, operations_in_step;
  std::map<int, Place> contexts;
  std::vector<std::string> collectives;
};

// Never destroyed: threads may still run when the process ends.
Record& record() {
  static auto* result = new Record;
  return *result;
}

constexpr double kMillisecondsOfALaunch = 0.005, kBytesInAMillisecond = 1e9;
std::atomic<int64_t> g_launches{0};
std::atomic<double> g_bytes{0};
thread_local int64_t t_launches = 0;

void count_and_print(std::map<std::string, int64_t>& counts, const char* kind, const std::string& what) {
  if (++counts[what] == 1) std::fprintf(stderr, "fake GPU: %s: %s\n", kind, what.c_str());
}

nlohmann::json counts_of(const std::map<std::string, int64_t>& counts) {
  auto result = nlohmann::json::object();
  for (const auto& [what, count] : counts) result[what] = count;
  return result;
}

std::set<Place> places_of(const Record& all) {
  std::set<Place> places;
  for (const auto& [key, count] : all.waits) places.insert(key.second);
  for (const auto& [device, place] : all.contexts) places.insert(place);
  return places;
}

nlohmann::json operations_json(const std::map<std::string, OnHost>& operations) {
  auto result = nlohmann::json::object();
  for (const auto& [name, calls] : operations)
    result[name] = {{"calls", calls.calls}, {"largest", calls.largest}};
  return result;
}

nlohmann::json memory_json() {
  auto result = nlohmann::json::object();
  for (int device = 0; device < settings().devices; ++device) {
    const MemoryUse use = memory_use(device);
    if (use.peak == 0 && use.refused == 0) continue;
    result[std::to_string(device)] = {
        {"peak_bytes", use.peak}, {"reserved_bytes", use.reserved}, {"out_of_memory", use.refused}};
  }
  return result;
}

nlohmann::json to_json(const Record& all) {
  const auto texts = describe(places_of(all));
  std::map<std::pair<std::string, std::string>, int64_t> waits;  // places of one line are one
  for (const auto& [key, count] : all.waits) waits[{key.first, texts.at(key.second)}] += count;
  nlohmann::json result = {{"pid", ::getpid()},
                           {"rank", rank_of_process()},
                           {"launches", g_launches.load()},
                           {"memory", memory_json()},
                           {"attention", counts_of(all.attention)},
                           {"races", counts_of(all.races)},
                           {"faults", counts_of(all.faults)},
                           {"collectives", all.collectives}};
  for (const char* name : {"kernels", "copies", "contexts"}) result[name] = nlohmann::json::object();
  result["operations_on_host"] = operations_json(all.operations_on_host);
  result["operations_in_step"] = operations_json(all.operations_in_step);
  result["waits"] = nlohmann::json::array();
  for (const auto& [key, count] : waits)
    result["waits"].push_back({{"what", key.first}, {"place", key.second}, {"count", count}});
  for (const auto& [name, kernel] : all.kernels)
    result["kernels"][name] = {{"calls", kernel.calls},
                               {"bytes_read", int64_t(kernel.bytes_read)},
                               {"bytes_written", int64_t(kernel.bytes_written)}};
  for (const auto& [direction, copies] : all.copies)
    result["copies"][direction] = {{"calls", copies.calls}, {"bytes", int64_t(copies.bytes)}};
  for (const auto& [device, place] : all.contexts)
    result["contexts"][std::to_string(device)] = texts.at(place);
  return result;
}

}  // namespace

void count_wait(const std::string& what) {
  const Place place = caller();
  const std::scoped_lock lock(record().mutex);
  ++record().waits[{what, place}];
}

void count_kernel(const std::string& name, double bytes_read, double bytes_written) {
  ++g_launches;
  ++t_launches;
  const std::scoped_lock lock(record().mutex);
  Kernel& kernel = record().kernels[name];
  ++kernel.calls;
  kernel.bytes_read += bytes_read;
  kernel.bytes_written += bytes_written;
  g_bytes += bytes_read + bytes_written;
}

void count_copy(const std::string& direction, double bytes) {
  const std::scoped_lock lock(record().mutex);
  Copies& copies = record().copies[direction];
  ++copies.calls;
  copies.bytes += bytes;
}

void count_attention(const std::string& call) {
  const std::scoped_lock lock(record().mutex);
  ++record().attention[call];
}

void count_operation_on_host(const std::string& name, int64_t largest, bool in_step) {
  const std::scoped_lock lock(record().mutex);
  const auto add = [&](OnHost& calls) {
    ++calls.calls;
    calls.largest = std::max(calls.largest, largest);
  };
  add(record().operations_on_host[name]);
  if (in_step) add(record().operations_in_step[name]);
}

void count_context(int device) {
  const std::scoped_lock lock(record().mutex);
  if (record().contexts.count(device) == 0) record().contexts[device] = caller();
}

void add_collective(const std::string& call) {
  const std::scoped_lock lock(record().mutex);
  record().collectives.push_back(call);
}

void report_race(const std::string& what) {
  const std::scoped_lock lock(record().mutex);
  count_and_print(record().races, "race", what);
}

void report_fault(const std::string& what) {
  const std::scoped_lock lock(record().mutex);
  count_and_print(record().faults, "fault", what);
}

int64_t launches() { return g_launches; }
double modelled_milliseconds() {
  return double(g_launches) * kMillisecondsOfALaunch + g_bytes / kBytesInAMillisecond;
}
int64_t launches_of_thread() { return t_launches; }

void write_report() {
  if (settings().report.empty()) return;
  const std::scoped_lock lock(record().mutex);
  const std::string path = settings().report + "." + std::to_string(::getpid()) + ".json";
  std::ofstream(path + ".new") << to_json(record()).dump(1) << "\n";
  std::rename((path + ".new").c_str(), path.c_str());  // the process may be killed meanwhile
}

}  // namespace fake_gpu
