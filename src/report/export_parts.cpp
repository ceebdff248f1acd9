#include "export_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "pixart/base/error.h"

namespace pixart::report {
namespace fs = std::filesystem;

namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.';
}

std::string plain_name(const std::string& stage) {
  constexpr size_t kLongest = 100;
  std::string name = stage.substr(0, kLongest);
  for (char& c : name)
    if (!is_plain(c)) c = '_';
  if (name.front() == '.' || name.front() == '-') name.front() = '_';
  return name;
}

}  // namespace

EventIndex events_to_export(const fs::path& run) {
  if (!fs::is_directory(run))
    throw UserError(fmt::format("{} is not a run folder. Give the folder that `run:` of the run file names.",
                                run.string()));
  EventIndex index = index_events(run / "events.jsonl");
  if (index.stages.empty())
    throw UserError(fmt::format(
        "{}: events.jsonl is missing, or has no line of a stage: there is nothing to export.", run.string()));
  return index;
}

std::vector<std::string> remarks_on(const EventIndex& index) {
  std::vector<std::string> remarks;
  const int64_t left_out = index.count.unreadable + index.strange + (index.count.is_cut ? 1 : 0);
  if (left_out > 0)
    remarks.push_back(fmt::format("{} line(s) of events.jsonl are damaged and are left out", left_out));
  for (const auto& remark : remarks_on(index.left_out, "events.jsonl")) remarks.push_back(remark);
  return remarks;
}

std::vector<std::string> file_names(const EventIndex& index) {
  std::vector<std::string> names;
  for (const auto& stage : index.stages) {
    const std::string plain = plain_name(stage.name);
    std::string name = plain;
    for (int i = 2; std::find(names.begin(), names.end(), name) != names.end(); ++i)
      name = fmt::format("{}-{}", plain, i);
    names.push_back(name);
  }
  return names;
}

}  // namespace pixart::report
