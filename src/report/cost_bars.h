// Compares a run's cost with the paper's figures.
#pragma once
#include <string>
#include <vector>

#include "pixart/report/run_cost.h"

namespace pixart::report {

struct NamedCost {
  std::string name;     // of the run
  std::string devices;  // "1 x CPU"
  RunCost cost;
};

// A table of the runs' costs, the bars, and the table of the paper's figures.
std::string cost_html(const std::vector<NamedCost>& runs, const CostRates& rates);

}  // namespace pixart::report
