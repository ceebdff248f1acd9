// The parts of read_run(): each adds the contents of its files, and remarks about missing or damaged parts.
#pragma once
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "json_lines.h"
#include "pixart/report/run_record.h"

namespace pixart::report {

// Adds the stage if it is new; null if the run has too many (kMostStages).
StageRecord* stage_of(RunRecord& run, const std::string& name);

// Adds remarks about what is of stages, or has names, that are too many.
void remark_on_left_out(RunRecord& run, const std::string& file, const LeftOut& left_out);

// Adds a point. A repeated step removes this and later steps first, because the run itself went back.
void append(Series& series, double x, double y);

// Adds remarks about lines that could not be read.
void remark_on_lines(RunRecord& run, const std::string& file, const LineCount& count);

void read_events(RunRecord& run);
void read_telemetry(RunRecord& run);
void read_samples(RunRecord& run);
void read_checkpoints(RunRecord& run, bool hash_weights);
void read_quarantine(RunRecord& run);
void read_excluded(RunRecord& run);
void read_features(RunRecord& run, const std::filesystem::path& folder);
void read_scores(RunRecord& run);
void read_score_cards(RunRecord& run);
void read_studies(RunRecord& run);
void read_judgements(RunRecord& run);  // judgements.cpp
void read_owner(RunRecord& run);

// score_cards.cpp, also for other files below scores/
// The files whose path below RUN/`name` matches, sorted; links are not followed. Images of the scores may be
// there, too.
std::vector<std::filesystem::path> files_below(RunRecord& run, const char* name, const std::regex& wanted);
// Discarded or null if it is not JSON, or beyond the limits of formats::parse_ordered() and values_by_path().
nlohmann::ordered_json card_json(const std::string& text);
// The values of a part of it by their paths, as text.
std::map<std::string, std::string> by_path(const nlohmann::ordered_json& object);

// Cards that compare with one another, each group in the given order; the groups in the order of their first cards.
using CardGroups = std::vector<std::vector<const ScoreCard*>>;
CardGroups by_protocol(const std::vector<const ScoreCard*>& cards);

}  // namespace pixart::report
