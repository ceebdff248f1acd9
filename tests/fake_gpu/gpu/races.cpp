#include "races.h"

#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>

#include "memory.h"
#include "record.h"
#include "settings.h"

namespace fake_gpu {

namespace {

// Who wrote bytes last, and who has read them since. Kept when memory is freed: its next owner must come
// after.
struct Range {
  uintptr_t end = 0;
  Stream writer = -1;
  int64_t written = 0;
  std::string written_by;
  std::map<Stream, std::pair<int64_t, std::string>> reads;
};

std::mutex g_mutex;
std::map<uintptr_t, Range> g_ranges;  // by begin; they do not overlap

// So that no range crosses `at`.
void split(uintptr_t at) {
  auto after = g_ranges.upper_bound(at);
  if (after == g_ranges.begin()) return;
  auto& [begin, range] = *std::prev(after);
  if (begin == at || range.end <= at) return;
  Range rest = range;
  range.end = at;
  g_ranges.emplace(at, std::move(rest));
}

int64_t time_in(const Clock& clock, Stream stream) {
  const auto found = clock.find(stream);
  return found == clock.end() ? 0 : found->second;
}

std::string name_of(Stream stream) {
  return "stream " + std::to_string(id_of(stream)) + " of device " + std::to_string(device_of(stream));
}

void check(const Work& work, const Range& range, bool writes, const std::string& what) {
  const auto is_before = [&](Stream stream, int64_t time) {
    return stream == work.stream || time_in(work.clock, stream) >= time;
  };
  if (range.writer >= 0 && !is_before(range.writer, range.written))
    report_race(what + " on " + name_of(work.stream) + " does not wait for " + range.written_by + " on " +
                name_of(range.writer));
  if (!writes) return;
  for (const auto& [stream, read] : range.reads)
    if (!is_before(stream, read.first))
      report_race(what + " on " + name_of(work.stream) + " overwrites what " + read.second + " on " +
                  name_of(stream) + " reads");
}

void note_write(const Work& work, uintptr_t begin, uintptr_t end, const std::string& what) {
  g_ranges.erase(g_ranges.lower_bound(begin), g_ranges.lower_bound(end));
  g_ranges.emplace(begin, Range{end, work.stream, work.time, what, {}});
}

// Also where nothing is known yet.
void note_read(const Work& work, uintptr_t begin, uintptr_t end, const std::string& what) {
  auto range = g_ranges.lower_bound(begin);
  for (uintptr_t at = begin; at < end;) {
    const uintptr_t next = range != g_ranges.end() && range->first < end ? range->first : end;
    if (at < next) range = g_ranges.emplace_hint(range, at, Range{next, -1, 0, "", {}});
    range->second.reads[work.stream] = {work.time, what};
    at = range->second.end;
    ++range;
  }
}

}  // namespace

void touch(const Work& work, const void* memory, size_t bytes, bool writes, const std::string& what) {
  if (bytes == 0) return;
  if (device_of_memory(memory) != device_of(work.stream))
    return report_fault(what + " on " + name_of(work.stream) + " uses memory that is not of its device");
  if (!is_allocated(memory, bytes))
    report_fault(what + " uses device memory that is freed, or beyond its end");
  if (!settings().races) return;
  const auto begin = reinterpret_cast<uintptr_t>(memory), end = begin + bytes;
  const std::scoped_lock lock(g_mutex);
  split(begin);
  split(end);
  for (auto range = g_ranges.lower_bound(begin); range != g_ranges.end() && range->first < end; ++range)
    check(work, range->second, writes, what);
  if (writes)
    note_write(work, begin, end, what);
  else
    note_read(work, begin, end, what);
}

}  // namespace fake_gpu
