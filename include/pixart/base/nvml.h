// NVIDIA's management library (NVML), loaded at run time: power, energy, memory and use of GPUs.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace pixart {

// Values that a GPU does not report are absent: laptops, MIG slices and virtual machines report few.
struct GpuReading {
  std::string name = {};                                                    // "NVIDIA A100-SXM4-80GB"
  std::optional<double> power_watts = {};                                   // now, or in the last second
  std::optional<double> energy_joules = {};                                 // since the driver was loaded
  std::optional<uint64_t> memory_used_bytes = {}, memory_total_bytes = {};  // of all processes
  std::optional<double> utilisation = {};  // share of the last moments with a running kernel, 0 to 1
};

// GPUs have the numbers of the machine, whatever CUDA_VISIBLE_DEVICES says. No function here throws.
class Nvml {
 public:
  // nullopt if the library or the driver is missing. The last copy of the object closes the library.
  static std::optional<Nvml> load(const std::string& library = "libnvidia-ml.so.1");

  int num_devices() const;
  // The number of the GPU with this PCI bus id, e.g. "0000:3b:00.0", as CUDA reports it.
  std::optional<int> find(const std::string& pci_bus_id) const;
  std::optional<GpuReading> read(int device) const;  // nullopt if the GPU does not exist

 private:
  explicit Nvml(std::shared_ptr<const struct NvmlLibrary> library) : library_(std::move(library)) {}
  std::shared_ptr<const struct NvmlLibrary> library_;
};

}  // namespace pixart
