// When a run did what: processes, stages, saves, samples, and the times between.
#pragma once
#include <string>

#include "pixart/report/run_record.h"

namespace pixart::report {

// A picture and the table of processes; nothing without telemetry.
std::string timeline_html(const RunRecord& run);

// Time -> share of the width: time in which a process ran counts in full, gaps between processes are cut to
// `gap_share` each.
class RunningTime {
 public:
  RunningTime(const std::vector<ProcessRecord>& processes, double gap_share);
  double share(size_t process, double time) const;
  double running_seconds() const { return seconds_; }
  double running_before(size_t process) const { return starts_[process].running; }  // seconds
  double share_of_running(double seconds) const;                                    // of the axis' ticks
  double gap_seconds(size_t process) const { return starts_[process].gap; }         // before it

 private:
  struct Start {
    double begin, end, running, gap;  // running: seconds of the processes before
  };
  std::vector<Start> starts_;
  double seconds_ = 0, gap_share_ = 0, running_share_ = 1;
};

}  // namespace pixart::report
