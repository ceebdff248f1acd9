#include "pixart/report/run_cost.h"

namespace pixart::report {

RunCost cost_of(const RunRecord& run, const CostRates& rates) {
  constexpr double kJoulesPerKwh = 3.6e6;
  RunCost cost;
  double joules = 0, measured_seconds = 0;
  for (const auto& process : run.processes) {
    const double seconds = (process.end - process.begin) * double(process.devices);
    cost.device_seconds += seconds;
    cost.training_seconds += process.training_seconds * double(process.devices);
    if (process.energy_joules) {
      joules += *process.energy_joules;
      measured_seconds += seconds;
    } else if (rates.watts) {
      joules += seconds * *rates.watts;
    }
  }
  if (cost.device_seconds <= 0) return cost;
  cost.measured_share = measured_seconds / cost.device_seconds;
  if (cost.measured_share >= 1 || rates.watts) cost.kwh = joules / kJoulesPerKwh;
  if (rates.price_per_hour) cost.money = cost.device_seconds / 3600 * *rates.price_per_hour;
  if (cost.kwh && rates.kg_per_kwh) cost.kg_co2 = *cost.kwh * *rates.kg_per_kwh;
  return cost;
}

}  // namespace pixart::report
