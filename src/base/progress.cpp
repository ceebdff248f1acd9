#include "pixart/base/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "pixart/base/env.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "terminal.h"

namespace pixart {

namespace {
constexpr double kRedrawSeconds = 0.1;
constexpr int kBarWidth = 24;
}  // namespace

Progress::Progress(std::string what, int64_t total, std::string unit, int64_t already_done,
                   double line_seconds)
    : what_(printable(what)),
      unit_(std::move(unit)),
      total_(std::max<int64_t>(1, total)),
      done_(already_done),
      started_at_(already_done),
      line_seconds_(line_seconds),
      started_seconds_(monotonic_seconds()),
      last_drawn_seconds_(started_seconds_),
      last_tenth_(int(10 * already_done / total_)),
      terminal_(stderr_is_terminal()) {}

Progress::~Progress() {
  if (done_ > started_at_) draw(true);
}

void Progress::update(int64_t done, const std::string& note) {
  done_ = std::clamp<int64_t>(done, 0, total_);
  if (!note.empty()) note_ = printable(note);
  const int tenth = int(10 * done_ / total_);
  const double silence = monotonic_seconds() - last_drawn_seconds_;
  const bool is_due =
      terminal_ ? silence >= kRedrawSeconds || !is_drawn_ : tenth > last_tenth_ || silence >= line_seconds_;
  last_tenth_ = std::max(last_tenth_, tenth);
  if (!is_due || (!terminal_ && done_ == total_)) return;  // the destructor writes the last line
  draw(false);
  is_drawn_ = true;
  last_drawn_seconds_ = monotonic_seconds();
}

void Progress::draw(bool last) {
  const double seconds = monotonic_seconds() - started_seconds_;
  const double rate = seconds > 0 ? double(done_ - started_at_) / seconds : 0;
  const double left = rate > 0 ? double(total_ - done_) / rate : 0;
  const std::string time = last ? "in " + human_seconds(seconds) : human_seconds(left) + " left";
  const std::string numbers =
      fmt::format("{:3d} %  {}/{} {}s  {:.{}f}/s  {}{}{}", 100 * done_ / total_, done_, total_, unit_, rate,
                  rate < 1 ? 3 : 1, time, note_.empty() ? "" : "  ", note_);
  const std::scoped_lock lock(terminal_mutex());
  if (!terminal_) {
    std::fprintf(stderr, "%s: %s\n", what_.c_str(), numbers.c_str());
    return;
  }
  const auto filled = size_t(kBarWidth * done_ / total_);
  const std::string bar = std::string(filled, '=') + std::string(kBarWidth - filled, ' ');
  std::fprintf(stderr, "\r\033[K%s [%s] %s%s", what_.c_str(), bar.c_str(), numbers.c_str(), last ? "\n" : "");
  std::fflush(stderr);
  live_line_shown() = !last;
}

}  // namespace pixart
