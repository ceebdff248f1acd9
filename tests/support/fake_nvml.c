// Stands in for libnvidia-ml.so.1 in tests: two GPUs, the first of which tells everything, the second, a slice of a
// GPU, neither energy nor utilisation. Each reading of the first one's energy is 50 J more.
#include <stdio.h>
#include <string.h>

typedef int Result;
typedef struct {
  int index;
} Device;
typedef struct {
  unsigned long long total, free, used;
} Memory;
typedef struct {
  unsigned gpu, memory;
} Utilization;

enum { kDone = 0, kNotFound = 6, kNotSupported = 3, kUninitialized = 1, kNumDevices = 2 };

static Device devices[kNumDevices] = {{0}, {1}};
static const char* const bus_ids[kNumDevices] = {"0000:3b:00.0", "0000:af:00.0"};
static int running = 0;
static unsigned long long energy = 1000000;

Result nvmlInit_v2(void) {
  running = 1;
  return kDone;
}

Result nvmlShutdown(void) {
  running = 0;
  return kDone;
}

Result nvmlDeviceGetCount_v2(unsigned* count) {
  *count = kNumDevices;
  return running ? kDone : kUninitialized;
}

Result nvmlDeviceGetHandleByIndex_v2(unsigned index, Device** device) {
  if (!running) return kUninitialized;
  if (index >= kNumDevices) return kNotFound;
  *device = &devices[index];
  return kDone;
}

Result nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, Device** device) {
  for (int i = 0; i < kNumDevices; ++i)
    if (strcmp(bus_id, bus_ids[i]) == 0) return nvmlDeviceGetHandleByIndex_v2((unsigned)i, device);
  return kNotFound;
}

Result nvmlDeviceGetIndex(Device* device, unsigned* index) {
  *index = (unsigned)device->index;
  return kDone;
}

Result nvmlDeviceGetName(Device* device, char* name, unsigned length) {
  snprintf(name, length, device->index == 0 ? "NVIDIA A100-SXM4-80GB" : "NVIDIA Test Slice");
  return kDone;
}

Result nvmlDeviceGetPowerUsage(Device* device, unsigned* milliwatts) {
  *milliwatts = device->index == 0 ? 312500 : 100000;
  return kDone;
}

Result nvmlDeviceGetTotalEnergyConsumption(Device* device, unsigned long long* millijoules) {
  if (device->index != 0) return kNotSupported;
  *millijoules = energy;
  energy += 50000;
  return kDone;
}

Result nvmlDeviceGetMemoryInfo(Device* device, Memory* memory) {
  memory->total = 80ull << 30;
  memory->used = (unsigned long long)(device->index + 1) << 30;
  memory->free = memory->total - memory->used;
  return kDone;
}

Result nvmlDeviceGetUtilizationRates(Device* device, Utilization* utilization) {
  if (device->index != 0) return kNotSupported;
  utilization->gpu = 87;
  utilization->memory = 40;
  return kDone;
}
