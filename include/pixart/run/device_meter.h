// Measures memory, power and energy of this rank's device.
#pragma once
#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "pixart/base/nvml.h"
#include "pixart/run/telemetry.h"

namespace pixart::run {

// The peak size of all tensors on the GPU, from LibTorch's allocator; on the CPU, the peak memory of the
// process.
uint64_t peak_bytes(c10::Device device);

// Reads a GPU through NVML. The energy since construction is the difference of the GPU's counter; a GPU
// without a counter has its power summed over the readings, which should then come at least every minute.
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
  std::string name() const;  // NVML's name of the GPU; "" for a CPU or if NVML is missing

 private:
  c10::Device device_;
  std::optional<GpuMeter> gpu_;
};

}  // namespace pixart::run
