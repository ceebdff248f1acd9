#include "traffic.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

namespace cuda_on_cpu {

namespace {

constexpr size_t kSector = 32;

// What the lanes of a warp have asked for at one place, at one time.
struct Request {
  std::vector<uintptr_t> addresses, sectors;  // each once
  size_t bytes = 0;
};

// One place in a kernel.
struct Instruction {
  Site site;
  bool writes = false;
  std::array<size_t, kMostThreads> times{};                         // of each thread
  std::array<std::vector<Request>, kMostThreads / kWarp> requests;  // of each warp
  std::array<size_t, kMostThreads / kWarp> used{};
};

// What a launch uses of memory that it was given.
struct Span {
  Given given;
  uintptr_t begin[2], end[2];  // of reading and writing
};

Traffic g_traffic;
std::vector<Span> g_spans;
std::vector<std::unique_ptr<Instruction>> g_instructions;  // of the launch

Instruction& instruction_at(const Site& site, bool writes) {
  for (const auto& known : g_instructions)
    if (known->site.line() == site.line() && known->site.column() == site.column() &&
        known->writes == writes && known->site.file_name() == site.file_name())
      return *known;
  g_instructions.push_back(std::make_unique<Instruction>());
  g_instructions.back()->site = site;
  g_instructions.back()->writes = writes;
  return *g_instructions.back();
}

Request& request_of(Instruction& instruction, unsigned thread) {
  auto& requests = instruction.requests[thread / kWarp];
  const size_t time = instruction.times[thread]++;
  if (time >= requests.size()) requests.resize(time + 1);
  instruction.used[thread / kWarp] = std::max(instruction.used[thread / kWarp], time + 1);
  return requests[time];
}

bool add_once(std::vector<uintptr_t>& values, uintptr_t value) {
  if (std::find(values.rbegin(), values.rend(), value) != values.rend()) return false;
  values.push_back(value);
  return true;
}

void add_up(Request& request) {
  if (request.addresses.empty()) return;
  ++g_traffic.requests;
  g_traffic.sectors += int64_t(request.sectors.size());
  g_traffic.ideal_sectors += int64_t((request.bytes + kSector - 1) / kSector);
  request.addresses.clear();
  request.sectors.clear();
  request.bytes = 0;
}

// The memory that begins next before the address.
void extend_span(uintptr_t address, size_t bytes, bool writes) {
  Span* found = nullptr;
  for (Span& span : g_spans) {
    const auto seen = reinterpret_cast<uintptr_t>(span.given.seen);
    if (seen <= address && (found == nullptr || seen >= reinterpret_cast<uintptr_t>(found->given.seen)))
      found = &span;
  }
  if (found == nullptr) return;
  found->begin[writes] = std::min(found->begin[writes], address);
  found->end[writes] = std::max(found->end[writes], address + bytes);
}

}  // namespace

const Traffic& last_traffic() { return g_traffic; }
void begin_traffic(const std::vector<Given>& given) {
  g_traffic = {};
  g_instructions.clear();
  g_spans.clear();
  for (const Given& memory : given) g_spans.push_back({memory, {UINTPTR_MAX, UINTPTR_MAX}, {}});
}

std::vector<FakeGpuUse> uses_of_memory() {
  std::vector<FakeGpuUse> uses;
  for (const Span& span : g_spans) {
    if (g_traffic.requests == 0) uses.push_back({span.given.memory, 0, 1});
    const auto seen = reinterpret_cast<uintptr_t>(span.given.seen);
    for (const int writes : {0, 1})
      if (span.end[writes] > 0)
        uses.push_back({static_cast<char*>(span.given.memory) + (span.begin[writes] - seen),
                        span.end[writes] - span.begin[writes], writes});
  }
  return uses;
}

void count_access(const void* address, size_t bytes, bool writes, const Site& site) {
  Request& request = request_of(instruction_at(site, writes), thread_of_block());
  const auto first = reinterpret_cast<uintptr_t>(address);
  if (!add_once(request.addresses, first)) return;
  request.bytes += bytes;
  extend_span(first, bytes, writes);
  (writes ? g_traffic.bytes_written : g_traffic.bytes_read) += int64_t(bytes);
  for (uintptr_t sector = first / kSector; sector <= (first + bytes - 1) / kSector; ++sector)
    add_once(request.sectors, sector);
}

void end_block() {
  for (const auto& instruction : g_instructions) {
    for (size_t warp = 0; warp < instruction->requests.size(); ++warp) {
      for (size_t time = 0; time < instruction->used[warp]; ++time) add_up(instruction->requests[warp][time]);
      instruction->used[warp] = 0;
    }
    instruction->times.fill(0);
  }
}

}  // namespace cuda_on_cpu
