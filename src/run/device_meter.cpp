#include "pixart/run/device_meter.h"

#include <ATen/DeviceAccelerator.h>

#include "pixart/base/env.h"
#include "pixart/nn/device.h"

namespace pixart::run {

uint64_t peak_bytes(c10::Device device) {
  if (device.is_cpu()) return peak_memory_bytes();
  const auto stats = at::accelerator::getDeviceStats(device.index());
  return uint64_t(stats.allocated_bytes[size_t(c10::CachingAllocator::StatType::AGGREGATE)].peak);
}

GpuMeter::GpuMeter(Nvml nvml, int gpu, double now) : nvml_(std::move(nvml)), gpu_(gpu), last_time_(now) {
  const auto first = nvml_.read(gpu_);
  if (!first) return;
  name_ = first->name;
  first_energy_ = first->energy_joules;
  last_power_ = first->power_watts;
}

GpuMeter::Reading GpuMeter::read(double now) {
  const auto reading = nvml_.read(gpu_);
  if (!reading) return {};
  Reading result{.power_watts = reading->power_watts};
  if (last_power_ && reading->power_watts)
    summed_energy_ += (now - last_time_) * (*last_power_ + *reading->power_watts) / 2;
  last_time_ = now;
  last_power_ = reading->power_watts;
  if (first_energy_ && reading->energy_joules)
    result.energy_joules = *reading->energy_joules - *first_energy_;
  else if (reading->power_watts)
    result.energy_joules = summed_energy_;
  return result;
}

DeviceMeter::DeviceMeter(c10::Device device) : device_(device) {
  const auto slot = nn::pci_bus_id(device);
  auto nvml = slot ? Nvml::load() : std::nullopt;
  const auto gpu = nvml ? nvml->find(*slot) : std::nullopt;
  if (gpu) gpu_.emplace(*std::move(nvml), *gpu, monotonic_seconds());
}

DeviceReading DeviceMeter::read() {
  DeviceReading reading{.memory_bytes = peak_bytes(device_)};
  if (gpu_) {
    const auto [power, energy] = gpu_->read(monotonic_seconds());
    reading.power_watts = power;
    reading.energy_joules = energy;
  }
  return reading;
}

std::string DeviceMeter::name() const { return gpu_ ? gpu_->name() : std::string(); }

}  // namespace pixart::run
