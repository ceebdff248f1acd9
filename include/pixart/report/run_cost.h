// What a run has cost so far: device time, energy, money, CO2.
#pragma once
#include <optional>

#include "pixart/report/run_record.h"

namespace pixart::report {

struct CostRates {
  std::optional<double> price_per_hour = {};  // of a device, any currency
  std::optional<double> kg_per_kwh = {};      // CO2
  std::optional<double> watts = {};           // of a device, where its energy was not measured
};

struct RunCost {
  double device_seconds = 0;    // processes ran, times devices: what is paid for
  double training_seconds = 0;  // of that, in training steps (times devices)
  std::optional<double> kwh = {}, money = {}, kg_co2 = {};
  double measured_share = 0;  // of the device time, with energy from the devices' own counters
  double device_days() const { return device_seconds / 86400; }
};

RunCost cost_of(const RunRecord& run, const CostRates& rates);

}  // namespace pixart::report
