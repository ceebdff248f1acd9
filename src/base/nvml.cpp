#include "pixart/base/nvml.h"

#include <dlfcn.h>

namespace pixart {

// The declarations of nvml.h, which is often missing from images with the CUDA toolkit. The binary interface
// of these functions has not changed since their _v2.
struct NvmlLibrary {
  using Device = void*;
  using Result = int;  // 0: success
  struct Memory {
    unsigned long long total, free, used;
  };
  struct Utilization {
    unsigned gpu, memory;  // percent
  };

  void* handle = nullptr;
  Result (*init)() = nullptr;
  Result (*shutdown)() = nullptr;
  Result (*count)(unsigned*) = nullptr;
  Result (*by_index)(unsigned, Device*) = nullptr;
  Result (*by_bus_id)(const char*, Device*) = nullptr;
  Result (*index)(Device, unsigned*) = nullptr;
  Result (*name)(Device, char*, unsigned) = nullptr;
  Result (*power)(Device, unsigned*) = nullptr;             // milliwatts
  Result (*energy)(Device, unsigned long long*) = nullptr;  // millijoules
  Result (*memory)(Device, Memory*) = nullptr;
  Result (*utilization)(Device, Utilization*) = nullptr;
  bool running = false;

  explicit NvmlLibrary(const char* file) : handle(::dlopen(file, RTLD_NOW | RTLD_LOCAL)) {
    if (handle == nullptr) return;
    find(init, "nvmlInit_v2");
    find(shutdown, "nvmlShutdown");
    find(count, "nvmlDeviceGetCount_v2");
    find(by_index, "nvmlDeviceGetHandleByIndex_v2");
    find(by_bus_id, "nvmlDeviceGetHandleByPciBusId_v2");
    find(index, "nvmlDeviceGetIndex");
    find(name, "nvmlDeviceGetName");
    find(power, "nvmlDeviceGetPowerUsage");
    find(energy, "nvmlDeviceGetTotalEnergyConsumption");
    find(memory, "nvmlDeviceGetMemoryInfo");
    find(utilization, "nvmlDeviceGetUtilizationRates");
    const bool usable = init != nullptr && shutdown != nullptr && count != nullptr && by_index != nullptr;
    running = usable && init() == 0;
  }
  ~NvmlLibrary() {
    if (running) shutdown();
    if (handle != nullptr) ::dlclose(handle);
  }
  NvmlLibrary(const NvmlLibrary&) = delete;
  NvmlLibrary& operator=(const NvmlLibrary&) = delete;

  template <class Function>
  void find(Function& function, const char* symbol) {
    function = reinterpret_cast<Function>(::dlsym(handle, symbol));
  }

  // The value that `function` returns; nullopt if the function is missing or reports an error.
  template <class Value>
  static std::optional<Value> ask(Result (*function)(Device, Value*), Device device) {
    Value value{};
    if (function == nullptr || function(device, &value) != 0) return {};
    return value;
  }
};

std::optional<Nvml> Nvml::load(const std::string& library) {
  auto loaded = std::make_shared<const NvmlLibrary>(library.c_str());
  if (!loaded->running) return {};
  return Nvml(std::move(loaded));
}

int Nvml::num_devices() const {
  unsigned count = 0;
  return library_->count(&count) == 0 ? int(count) : 0;
}

std::optional<int> Nvml::find(const std::string& pci_bus_id) const {
  NvmlLibrary::Device device = nullptr;
  if (library_->by_bus_id == nullptr || library_->by_bus_id(pci_bus_id.c_str(), &device) != 0) return {};
  const auto index = NvmlLibrary::ask(library_->index, device);
  return index ? std::optional<int>(int(*index)) : std::nullopt;
}

std::optional<GpuReading> Nvml::read(int device) const {
  NvmlLibrary::Device handle = nullptr;
  if (device < 0 || library_->by_index(unsigned(device), &handle) != 0) return {};
  constexpr double kThousandth = 1e-3;
  GpuReading reading;
  char name[96] = {};
  if (library_->name != nullptr && library_->name(handle, name, sizeof name) == 0) reading.name = name;
  if (const auto milliwatts = NvmlLibrary::ask(library_->power, handle))
    reading.power_watts = kThousandth * double(*milliwatts);
  if (const auto millijoules = NvmlLibrary::ask(library_->energy, handle))
    reading.energy_joules = kThousandth * double(*millijoules);
  if (const auto memory = NvmlLibrary::ask(library_->memory, handle)) {
    reading.memory_used_bytes = memory->used;
    reading.memory_total_bytes = memory->total;
  }
  if (const auto percent = NvmlLibrary::ask(library_->utilization, handle))
    reading.utilisation = double(percent->gpu) / 100;
  return reading;
}

}  // namespace pixart
