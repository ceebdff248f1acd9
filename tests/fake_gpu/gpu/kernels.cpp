#include "kernels.h"

#include "device_error.h"
#include "record.h"
#include "settings.h"

namespace fake_gpu {

Work begin_kernel(Stream stream) {
  throw_if_broken();
  make_context(device_of(stream));
  if (launches() == settings().fault_at_launch) {
    report_fault("the device breaks at launch " + std::to_string(launches()) + ", as it was asked to");
    break_device();
  }
  return begin_work(stream);
}

}  // namespace fake_gpu
