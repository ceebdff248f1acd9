// NVIDIA's management library (NVML), found at run time: what GPUs draw, have drawn, hold and do.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace pixart {

// What a GPU does not tell is absent: laptops, slices of a GPU (MIG) and virtual machines tell little.
struct GpuReading {
  std::string name = {};                                                    // "NVIDIA A100-SXM4-80GB"
  std::optional<double> power_watts = {};                                   // now, or of the last second
  std::optional<double> energy_joules = {};                                 // since the driver was loaded
  std::optional<uint64_t> memory_used_bytes = {}, memory_total_bytes = {};  // of all processes
  std::optional<double> utilisation = {};  // share of the last moments in which a kernel ran, 0 to 1
};

// GPUs are numbered as on the machine, whatever CUDA_VISIBLE_DEVICES says. Nothing here throws.
class Nvml {
 public:
  // Nothing where the library or the driver is missing. The library is closed with the last copy.
  static std::optional<Nvml> load(const std::string& library = "libnvidia-ml.so.1");

  int num_devices() const;
  // Number of the GPU in this slot, e.g. "0000:3b:00.0" as CUDA tells it.
  std::optional<int> find(const std::string& pci_bus_id) const;
  std::optional<GpuReading> read(int device) const;  // nothing if there is no such GPU

 private:
  explicit Nvml(std::shared_ptr<const struct NvmlLibrary> library) : library_(std::move(library)) {}
  std::shared_ptr<const struct NvmlLibrary> library_;
};

}  // namespace pixart
