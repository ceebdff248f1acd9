// What is counted and found, and the report of it.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fake_gpu {

// The host waits for the device. The place in the program is kept.
void count_wait(const std::string& what);
void count_kernel(const std::string& name, double bytes_read, double bytes_written);
void count_copy(const std::string& direction, double bytes);
void count_attention(const std::string& call);  // shapes, type, mask, back end
// in_step: a step of training makes it.
void count_operation_on_host(const std::string& name, int64_t largest, bool in_step);
void count_context(int device);
void add_collective(const std::string& call);

// Each text is printed once.
void report_race(const std::string& what);
void report_fault(const std::string& what);

int64_t launches();  // of this process
// What their launches and bytes would take, about: events have this time, so that what is timed does not
// depend on the host.
double modelled_milliseconds();
int64_t launches_of_thread();

// Writes the JSON of this process, if a report is asked for.
void write_report();

}  // namespace fake_gpu
