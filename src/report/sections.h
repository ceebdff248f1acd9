// The sections of a run's page, each as HTML without its heading. A section with nothing to show says what is
// missing.
#pragma once
#include <string>

#include "pixart/report/page.h"

namespace pixart::report {

// heading.cpp
const StagePlan* plan_of(const ReportedRun& run, const std::string& stage);
std::map<std::string, int64_t> planned_steps(const ReportedRun& run);
std::string state_of(const ReportedRun& run);
std::string devices_of(const RunRecord& run);  // "8 x NVIDIA A100", from the last process
std::string facts_of(const ReportedRun& run);
std::string stages_of(const ReportedRun& run);
std::string weights_of(const RunRecord& run);
std::string remarks_of(const RunRecord& run);
// The same for several runs, side by side.
std::string compared_facts(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names);
std::string compared_stages(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names);

// configuration.cpp
std::string configuration_of(const ReportedRun& run);
// For the run called `run`; "": the only run of the page.
std::string differences_html(const ConfigComparison& comparison, const std::string& run);

// curves.cpp
std::string curves_of(const ReportedRun& run);
// Says which runs of a stage have other losses, so that their numbers must not be compared; "" if all have
// the same one.
std::string other_losses(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names,
                         const std::string& stage);
// Shows the same stage of several runs in the same charts.
std::string common_curves(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names);

// samples.cpp
std::string samples_of(const ReportedRun& run, uint64_t bytes);
// The last grid of each stage; the runs are below one another.
std::string last_samples(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names,
                         uint64_t bytes);

// ledger.cpp
std::string ledger_of(const RunRecord& run);
std::string scores_of(const RunRecord& run);

// scores.cpp
// The cards of the runs as one table, with a letter for each protocol; "" if there are none.
std::string cards_of(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names);

std::string protocol_letter(size_t group);  // of a group of by_protocol()

// study_page.cpp
std::string studies_of(const RunRecord& run);  // "": none was found

// judgements.cpp
// One table for each protocol; "": none was found.
std::string judgements_of(const RunRecord& run);

// score_curves.cpp
std::string score_curves_of(const RunRecord& run);  // "": no stage has a score at two steps

}  // namespace pixart::report
