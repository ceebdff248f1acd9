#include "device_error.h"

#include <c10/util/Exception.h>

#include "memory.h"
#include "settings.h"
#include "streams.h"

namespace fake_gpu {

void throw_if_broken() {
  constexpr int kIllegalAddress = 700;
  if (!is_broken()) return;
  throw c10::AcceleratorError({__func__, __FILE__, uint32_t(__LINE__)}, kIllegalAddress,
                              "CUDA error: an illegal memory access was encountered");
}

void throw_out_of_memory(int device, size_t bytes) {
  const MemoryUse use = memory_use(device);
  const int64_t free = int64_t(settings().bytes) - use.reserved;
  TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate ", bytes, " bytes. GPU ",
                   device, " has a total capacity of ", settings().bytes, " bytes of which ", free,
                   " bytes is free.");
}

}  // namespace fake_gpu
