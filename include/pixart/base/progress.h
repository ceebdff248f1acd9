// A progress bar for long work: a live line on a terminal, otherwise a line every 10 % and every minute.
#pragma once
#include <cstdint>
#include <string>

namespace pixart {

class Progress {
 public:
  // `what`: "encode images"; `total`: number of units; `unit`: "image" (an s is added). `already_done`: units
  // finished before this process started, e.g. the step of a resumed stage; the rate does not count them.
  // `line_seconds`: the longest time between two lines without a terminal.
  Progress(std::string what, int64_t total, std::string unit, int64_t already_done = 0,
           double line_seconds = 60);
  ~Progress();  // writes the last line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Sets the number of finished units; `note` is shown after the rate, e.g. "loss 0.123". For one thread.
  void update(int64_t done, const std::string& note = {});

 private:
  void draw(bool last);
  std::string what_, unit_, note_;
  int64_t total_, done_, started_at_;
  double line_seconds_, started_seconds_, last_drawn_seconds_;
  int last_tenth_;
  bool terminal_, is_drawn_ = false;
};

}  // namespace pixart
