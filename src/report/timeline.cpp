#include "timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "json_lines.h"
#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"

namespace pixart::report {
namespace {

constexpr double kTimelineTop = 24, kLane = 46, kBar = 10, kTimelineAxis = 30, kEdge = 4;

// A round time of which about `count` fit into `seconds`.
double round_time(double seconds, int count) {
  constexpr std::array kSteps = {0.1,  0.2,  0.5,  1.0,   2.0,   5.0,   10.0,   15.0,   30.0,  60.0,
                                 120., 300., 600., 1800., 3600., 7200., 21600., 43200., 86400.};
  for (const double step : kSteps)
    if (step * count >= seconds) return step;
  return std::ceil(seconds / count / kSteps.back()) * kSteps.back();
}

// Formats seconds for an axis with ticks at intervals of `step`, in one unit.
std::string tick_text(double seconds, double step) {
  if (step >= 86400) return fmt::format("{:.4g} d", seconds / 86400);
  if (step >= 1800) return fmt::format("{:.4g} h", seconds / 3600);
  if (step >= 60) return fmt::format("{:.4g} min", seconds / 60);
  return fmt::format("{:.4g} s", seconds);
}

// The part of one process in which a stage ran.
struct Span {
  double begin = 0, end = 0;
  int64_t first_step = -1, last_step = -1;
};

// The time from a stage's first event in a process to its last.
std::map<size_t, Span> spans_of(const RunRecord& run, const std::string& stage) {
  std::map<size_t, Span> spans;
  for (const auto& event : run.events) {
    if (event.stage != stage) continue;
    const auto [at, is_new] = spans.emplace(event.process, Span{event.time, event.time});
    at->second.end = std::max(at->second.end, event.time);
    if (event.step < 0) continue;
    if (at->second.first_step < 0) at->second.first_step = event.step;
    at->second.last_step = std::max(at->second.last_step, event.step);
  }
  return spans;
}

class Drawing {
 public:
  Drawing(const RunRecord& run, double width)
      : run_(run), width_(width), time_(run.processes, std::min(0.04, 0.4 / double(run.processes.size()))) {
    for (const auto& stage : run.stages)
      if (!spans_of(run, stage.name).empty()) lanes_.push_back(stage.name);
  }

  std::string svg() const {
    std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Time line of {}\">\n",
                                  width_, bottom() + kTimelineAxis, html_escaped(run_.name));
    svg += axis();
    for (size_t process = 1; process < run_.processes.size(); ++process) svg += gap(process);
    for (size_t lane = 0; lane < lanes_.size(); ++lane) svg += stage(lane);
    return svg + labels_of_gaps() + "</svg>\n";
  }

 private:
  double bottom() const { return kTimelineTop + kLane * double(std::max<size_t>(1, lanes_.size())); }
  double x(double share) const { return kEdge + share * (width_ - 2 * kEdge); }

  std::string axis() const {
    std::string svg =
        fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n",
                    x(0), x(1), bottom());
    const double step = round_time(time_.running_seconds(), std::max(2, int(width_ / 100)));
    for (double seconds = 0; step > 0 && seconds <= time_.running_seconds() * 1.0001; seconds += step) {
      const double at = x(time_.share_of_running(seconds));
      const char* anchor = at < 30 ? "start" : at > width_ - 30 ? "end" : "middle";
      svg += fmt::format(
          "<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>\n<text "
          "x=\"{0:.1f}\" "
          "y=\"{3:.1f}\" text-anchor=\"{4}\">{5}</text>\n",
          at, bottom(), bottom() + 4, bottom() + 19, anchor, tick_text(seconds, step));
    }
    return svg;
  }

  std::string gap(size_t process) const {
    const auto& before = run_.processes[process - 1];
    const double from = x(time_.share(process - 1, before.end)),
                 to = x(time_.share(process, run_.processes[process].begin));
    return fmt::format("<rect class=\"gap\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
                       from, kTimelineTop, std::max(1.0, to - from), bottom() - kTimelineTop);
  }

  std::string labels_of_gaps() const {
    constexpr double kRoom = 96;
    std::string svg;
    double last = -kRoom;
    for (size_t process = 1; process < run_.processes.size(); ++process) {
      const double at = std::clamp(x(time_.share(process, run_.processes[process].begin)), 40.0, width_ - 40);
      if (at - last < kRoom) continue;
      last = at;
      svg +=
          fmt::format("<text class=\"soft\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{} off</text>\n",
                      at, kTimelineTop - 8, human_seconds(time_.gap_seconds(process)));
    }
    return svg;
  }

  std::string stage(size_t lane) const {
    const double y = kTimelineTop + kLane * double(lane) + 24;
    std::string svg = fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x(0) + 2, y - 7,
                                  html_escaped(lanes_[lane]));
    for (const auto& [process, span] : spans_of(run_, lanes_[lane])) {
      const double from = x(time_.share(process, span.begin)), to = x(time_.share(process, span.end));
      svg += fmt::format(
          "<rect class=\"bar-{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{}: "
          "steps {} to "
          "{}, {}</title></rect>\n",
          lane % kNumSeriesColours, from, y, std::max(1.0, to - from), kBar, html_escaped(lanes_[lane]),
          span.first_step, span.last_step, human_seconds(span.end - span.begin));
    }
    return svg + marks(lane, y);
  }

  // The mark of an event; "" if it has none.
  std::string mark(const TelemetryEvent& event, double at, double y) const {
    if (event.kind == "samples")
      return fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.2\"/>\n", at, y + kBar + 6);
    if (event.kind == "save")
      return fmt::format(
          "<line class=\"save\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>\n", at, y - 2,
          y + kBar + 2);
    if (event.kind == "roll_back")
      return fmt::format(
          "<path class=\"dot\" d=\"M{:.1f} {:.1f}l7 -4v8z\"><title>back to step {}</title></path>\n", at - 7,
          y - 9, event.step);
    if (event.kind == "stop" && run_.processes[event.process].reason == "error")
      return fmt::format("<text class=\"error\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">error</text>\n",
                         at, y - 7);
    return "";
  }

  // Draws one mark of a kind per pixel, because long runs save thousands of times.
  std::string marks(size_t lane, double y) const {
    std::map<std::string, double> last;
    std::string svg;
    for (const auto& event : run_.events) {
      if (event.stage != lanes_[lane]) continue;
      const double at = x(time_.share(event.process, event.time));
      const std::string drawn = mark(event, at, y);
      if (drawn.empty()) continue;
      const auto [known, is_new] = last.emplace(event.kind, at);
      if (!is_new && at - known->second < 1.5) continue;
      known->second = at;
      svg += drawn;
    }
    return svg;
  }

  const RunRecord& run_;
  double width_;
  RunningTime time_;
  std::vector<std::string> lanes_;
};

std::string end_text(const ProcessRecord& process, bool is_last, bool runs) {
  if (is_last && runs) return "runs";
  if (process.reason.empty()) return is_last ? "not recorded" : "killed";
  const std::string reason = process.reason == "requested" ? "stopped on request" : process.reason;
  return process.message.empty() ? reason : reason + ": " + process.message;
}

// "text 200 to 400", for all stages on which a process worked. `stages`: their names and spans.
std::string steps_text(const std::vector<std::pair<std::string, std::map<size_t, Span>>>& stages,
                       size_t process) {
  std::vector<std::string> parts;
  for (const auto& [name, spans] : stages) {
    const auto span = spans.find(process);
    if (span == spans.end() || span->second.first_step < 0) continue;
    parts.push_back(fmt::format("{} {} to {}", name, with_thousands(span->second.first_step),
                                with_thousands(span->second.last_step)));
  }
  return join(parts, ", ");
}

// In one line.
std::string unbroken(std::string text) {
  for (size_t at = text.find(' '); at != std::string::npos; at = text.find(' ', at))
    text.replace(at, 1, "\u00A0");
  return text;
}

std::string table(const RunRecord& run) {
  Table table{.head = {"started (UTC)", "ran for", "steps", "ended", "where"}, .rows = {}, .cards = true};
  std::vector<std::pair<std::string, std::map<size_t, Span>>> stages;
  for (const auto& stage : run.stages) stages.emplace_back(stage.name, spans_of(run, stage.name));
  for (size_t i = 0; i < run.processes.size(); ++i) {
    const auto& process = run.processes[i];
    table.rows.push_back({unbroken(time_text(process.begin)),
                          unbroken(human_seconds(process.end - process.begin)), steps_text(stages, i),
                          end_text(process, i + 1 == run.processes.size(), !run.owner.empty()),
                          fmt::format("{}, {} x {}", process.host, process.devices, process.device)});
  }
  return table_html(table);
}

}  // namespace

RunningTime::RunningTime(const std::vector<ProcessRecord>& processes, double gap_share)
    : gap_share_(gap_share) {
  for (size_t i = 0; i < processes.size(); ++i) {
    const auto& process = processes[i];
    const double gap = i == 0 ? 0 : std::max(0.0, process.begin - processes[i - 1].end);
    starts_.push_back({process.begin, process.end, seconds_, gap});
    seconds_ += process.end - process.begin;
  }
  running_share_ = processes.empty() ? 1 : 1 - gap_share * double(processes.size() - 1);
}

double RunningTime::share(size_t process, double time) const {
  const auto& start = starts_.at(process);
  const double running = start.running + std::clamp(time, start.begin, start.end) - start.begin;
  return (seconds_ > 0 ? running / seconds_ : 0) * running_share_ + gap_share_ * double(process);
}

double RunningTime::share_of_running(double seconds) const {
  size_t process = 0;
  while (process + 1 < starts_.size() && starts_[process + 1].running < seconds) ++process;
  return starts_.empty() ? 0 : share(process, starts_[process].begin + seconds - starts_[process].running);
}

std::string timeline_html(const RunRecord& run) {
  if (run.processes.empty()) return "";
  std::string html = "<figure>\n<div class=\"wide\">" + Drawing(run, 940).svg() +
                     "</div>\n<div class=\"narrow\">" + Drawing(run, 380).svg() + "</div>\n</figure>\n";
  html += note(
      "Bars: a stage in training; strokes: checkpoints; dots: sample images; triangles: the stage went back to "
      "a checkpoint after a bad step. The axis counts the time in which the run ran; dashed boxes are the times in which it did not, shown shortened.");
  return html + table(run);
}

}  // namespace pixart::report
