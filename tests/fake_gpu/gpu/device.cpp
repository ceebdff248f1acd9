// What LibTorch asks of a device: the guard (devices, streams, events) and the hooks. Registered when the
// library is loaded.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>

#include "allocators.h"
#include "device_error.h"
#include "memory.h"
#include "record.h"
#include "settings.h"
#include "streams.h"

namespace fake_gpu {

namespace {

c10::Device device_at(int index) { return {c10::kCUDA, c10::DeviceIndex(index)}; }
Stream key_of(const c10::Stream& stream) { return stream_of(stream.device_index(), stream.id()); }
c10::Stream torch_stream(Stream stream) {
  return c10::Stream(c10::Stream::UNSAFE, device_at(device_of(stream)), c10::StreamId(id_of(stream)));
}

// CUDA's calls on a stream or event are made with its device; then LibTorch sets the one before.
class ForOneCall {
 public:
  explicit ForOneCall(int device) : before_(current_device()) { set_device(device); }
  ~ForOneCall() { set_device(before_); }
  ForOneCall(const ForOneCall&) = delete;
  ForOneCall& operator=(const ForOneCall&) = delete;

 private:
  const int before_;
};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::DeviceIndex deviceCount() const noexcept override { return c10::DeviceIndex(settings().devices); }
  c10::Device exchangeDevice(c10::Device device) const override {
    return device_at(exchange_device(device.index()));
  }
  c10::Device getDevice() const override { return device_at(current_device()); }
  void setDevice(c10::Device device) const override { set_device(device.index()); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { choose_device(device.index()); }

  c10::Stream getStream(c10::Device device) const override {
    return torch_stream(current_stream(device.has_index() ? device.index() : current_device()));
  }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return torch_stream(stream_of(device.index(), 0));
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    return torch_stream(new_stream(device.index()));
  }
  c10::Stream getNewStream(c10::Device device, int) const override {
    return torch_stream(new_stream(device.index()));
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return torch_stream(exchange_stream(key_of(stream)));
  }
  void* getStreamNativeHandle(const c10::Stream stream) const override { return handle_of(key_of(stream)); }
  bool queryStream(const c10::Stream& stream) const override {
    throw_if_broken();
    return is_done(record_event(key_of(stream)));
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    throw_if_broken();
    wait_for_stream(key_of(stream), "synchronize a stream");
    throw_if_broken();
  }
  void synchronizeDevice(const c10::DeviceIndex device) const override {
    const ForOneCall guard(device);
    throw_if_broken();
    wait_for_device(device, "synchronize a device");
    throw_if_broken();
  }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    device_allocator()->recordStream(data, stream);
  }

  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex,
              const c10::EventFlag) const override {
    const ForOneCall guard(stream.device_index());
    throw_if_broken();
    if (*event == nullptr) *event = new Event;
    *static_cast<Event*>(*event) = record_event(key_of(stream));
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event == nullptr) return;
    const ForOneCall guard(stream.device_index());
    throw_if_broken();
    block_stream(key_of(stream), *static_cast<Event*>(event));
  }
  bool queryEvent(void* event) const override {
    throw_if_broken();
    return event == nullptr || is_done(*static_cast<Event*>(event));
  }
  void synchronizeEvent(void* event) const override {
    if (event == nullptr) return;
    throw_if_broken();
    wait_for_event(*static_cast<Event*>(event), "synchronize an event");
    throw_if_broken();
  }
  double elapsedTime(void* begin, void* end, const c10::DeviceIndex) const override {
    return static_cast<Event*>(end)->milliseconds - static_cast<Event*>(begin)->milliseconds;
  }
  void destroyEvent(void* event, const c10::DeviceIndex device) const noexcept override {
    if (event == nullptr) return;
    const ForOneCall guard(device);
    delete static_cast<Event*>(event);
  }
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard)

struct Start {
  Start() {
    c10::SetAllocator(c10::kCUDA, device_allocator(), /*priority=*/255);
    std::atexit(&write_report);
  }
} g_start;

}  // namespace

}  // namespace fake_gpu

namespace at {

struct CUDAHooks final : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  bool isBuilt() const override { return true; }
  bool hasCUDART() const override { return true; }
  long versionCUDART() const override { return fake_gpu::settings().cuda; }
  bool isAvailable() const override { return hasCUDA(); }
  bool hasCUDA() const override { return fake_gpu::settings().devices > 0; }
  void init() const override {}
  bool hasPrimaryContext(DeviceIndex device) const override { return fake_gpu::has_context(device); }
  DeviceIndex deviceCount() const override { return DeviceIndex(fake_gpu::settings().devices); }
  int getNumGPUs() const override { return fake_gpu::settings().devices; }
  DeviceIndex getCurrentDevice() const override { return DeviceIndex(fake_gpu::current_device()); }
  DeviceIndex current_device() const override { return DeviceIndex(fake_gpu::current_device()); }
  void setCurrentDevice(DeviceIndex device) const override { fake_gpu::set_device(device); }
  DeviceIndex exchangeDevice(DeviceIndex device) const override {
    return DeviceIndex(fake_gpu::exchange_device(device));
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex device) const override {
    return DeviceIndex(fake_gpu::exchange_device_lazily(device));
  }
  bool isPinnedPtr(const void* memory) const override { return fake_gpu::is_pinned(memory); }
  Allocator* getPinnedMemoryAllocator() const override { return fake_gpu::pinned_allocator(); }
  Allocator* getCUDADeviceAllocator() const override { return fake_gpu::device_allocator(); }
  Device getDeviceFromPtr(void* memory) const override {
    return {kCUDA, DeviceIndex(fake_gpu::device_of_memory(memory))};
  }
  void deviceSynchronize(DeviceIndex device) const override {
    fake_gpu::throw_if_broken();
    fake_gpu::wait_for_device(device, "synchronize a device");
  }
};
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, CUDAHooks)

}  // namespace at

extern "C" int cudaDeviceGetPCIBusId(char* id, int size, int device) {
  std::snprintf(id, size_t(size), "0000:%02x:00.0",
                unsigned(fake_gpu::settings().machine_gpus.at(size_t(device)) + 1));
  return 0;
}
