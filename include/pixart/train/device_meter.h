// Measures the device of this rank.
#pragma once
#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "pixart/base/nvml.h"
#include "pixart/train/telemetry.h"

namespace pixart::train {

// The largest size of the tensors that were on the GPU at one time, by LibTorch's allocator; on the CPU, of
// the whole process.
uint64_t peak_bytes(c10::Device device);

// A GPU, asked through NVML. Its energy since construction is the difference of its counter, or, where it has
// none, its power summed up over the readings, which should then come at least every minute.
class GpuMeter {
 public:
  GpuMeter(Nvml nvml, int gpu, double now);

  struct Reading {
    std::optional<double> power_watts = {}, energy_joules = {};
  };
  Reading read(double now);  // monotonic seconds
  const std::string& name() const { return name_; }

 private:
  Nvml nvml_;
  int gpu_;
  std::string name_;
  std::optional<double> first_energy_, last_power_;
  double last_time_ = 0, summed_energy_ = 0;
};

class DeviceMeter {
 public:
  explicit DeviceMeter(c10::Device device);
  DeviceReading read();
  std::string name() const;  // of the GPU, as NVML calls it; "" of a CPU, or where NVML is missing

 private:
  c10::Device device_;
  std::optional<GpuMeter> gpu_;
};

}  // namespace pixart::train
