// The time line of a run: processes, stages, saves, samples, and the times between.
#pragma once
#include <string>

#include "pixart/report/run_record.h"

namespace pixart::report {

// A drawing and the table of processes; empty without telemetry.
std::string timeline_html(const RunRecord& run);

// Maps time to a share of the width: time in which a process ran counts in full, and each gap between
// processes is shortened to `gap_share`.
class RunningTime {
 public:
  RunningTime(const std::vector<ProcessRecord>& processes, double gap_share);
  double share(size_t process, double time) const;
  double running_seconds() const { return seconds_; }
  double running_before(size_t process) const { return starts_[process].running; }  // seconds
  double share_of_running(double seconds) const;                                    // for the axis' ticks
  double gap_seconds(size_t process) const { return starts_[process].gap; }         // gap before the process

 private:
  struct Start {
    double begin, end, running, gap;  // running: seconds of the earlier processes
  };
  std::vector<Start> starts_;
  double seconds_ = 0, gap_share_ = 0, running_share_ = 1;
};

}  // namespace pixart::report
