// How kernels of this module are launched: PIXART_LAUNCH(device, call), where `call` takes `stream` and returns CUDA's
// description of its error, or null.
#pragma once
#include <c10/core/Device.h>

#include "pixart/base/error.h"

#ifdef PIXART_WITH_CUDA
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace pixart::optim {

template <class Launch>
void launch_on(const at::Device& device, const Launch& launch) {
  const c10::DeviceGuard guard(device);
  const c10::impl::VirtualGuardImpl streams(device.type());
  const char* error = launch(streams.getStreamNativeHandle(streams.getStream(device)));
  if (error != nullptr)
    throw UserError(
        fmt::format(
            "The GPU {} refused a kernel of the optimizer: {}. `pixart doctor` describes this machine.",
            device.str(), error),
        ExitCode::kDevice);
}

}  // namespace pixart::optim
#define PIXART_LAUNCH(device, call) launch_on(device, [&](void* stream) { return call; })
#else
#define PIXART_LAUNCH(device, call) \
  PIXART_CHECK(false, "kernels on {} in a build without them", (device).str())
#endif
