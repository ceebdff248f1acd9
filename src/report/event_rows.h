// The values of events.jsonl by stage and step. The part of the file that holds a stage is read again for its rows,
// line by line, so memory does not grow with its length.
#pragma once
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "json_lines.h"

namespace pixart::report {

struct EventStage {
  std::string name;
  std::vector<std::string> keys = {};          // in the order of their first line
  std::map<std::string, size_t> columns = {};  // the place of each in `keys`
  int64_t last_step = 0;
  // Where in the file its lines are, with damaged ones among them. No two parts of an index have a line in common.
  std::vector<ByteRange> parts = {};
  // Where the stage went back: the begin of the line, and its step. Lines before it at this step or later ones do
  // not count. Only the turns that no later one includes, so both numbers rise.
  std::vector<std::pair<int64_t, int64_t>> turns = {};
};

struct EventIndex {
  std::filesystem::path file;
  std::vector<EventStage> stages = {};  // in the order of their first line
  LineCount count = {};
  int64_t strange = 0;     // lines without a stage or a step
  LeftOut left_out = {};   // what has too many names
  std::string first = {};  // stage, step and values of the first line
};

EventIndex index_events(const std::filesystem::path& file);

// Numbers by key; null: not finite.
using EventRow = std::map<std::string, nlohmann::json>;

// Calls visit(step, values) with rising steps; several lines of a step are one row. Lines that were added since
// index_events() are left out.
void for_each_row(const EventIndex& index, const EventStage& stage,
                  const std::function<void(int64_t, const EventRow&)>& visit);

}  // namespace pixart::report
