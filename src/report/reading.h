// The parts of read_run(): each adds what its files say, and a remark about what they do not.
#pragma once
#include <string>

#include "json_lines.h"
#include "pixart/report/run_record.h"

namespace pixart::report {

StageRecord& stage_of(RunRecord& run, const std::string& name);  // added where it is new

// A step that comes again replaces what was behind it, as the run itself went back.
void append(Series& series, double x, double y);

// About lines that could not be read.
void remark_on_lines(RunRecord& run, const std::string& file, const LineCount& count);

void read_events(RunRecord& run);
void read_telemetry(RunRecord& run);
void read_samples(RunRecord& run);
void read_checkpoints(RunRecord& run, bool hash_weights);
void read_quarantine(RunRecord& run);
void read_features(RunRecord& run, const std::filesystem::path& folder);
void read_scores(RunRecord& run);
void read_owner(RunRecord& run);

}  // namespace pixart::report
