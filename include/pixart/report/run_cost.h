// The cost of a run so far: device time, energy, money, CO2.
#pragma once
#include <optional>

#include "pixart/report/run_record.h"

namespace pixart::report {

struct CostRates {
  std::optional<double> price_per_hour = {};  // of one device, in any currency
  std::optional<double> kg_per_kwh = {};      // CO2
  std::optional<double> watts = {};           // of one device, if its energy was not measured
};

struct RunCost {
  double device_seconds = 0;    // time in which processes ran, times devices: the time that is paid for
  double training_seconds = 0;  // the part of it in training steps (times devices)
  std::optional<double> kwh = {}, money = {}, kg_co2 = {};
  double measured_share = 0;  // share of the device time with energy from the devices' own counters
  double device_days() const { return device_seconds / 86400; }
};

RunCost cost_of(const RunRecord& run, const CostRates& rates);

}  // namespace pixart::report
