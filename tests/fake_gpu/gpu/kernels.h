// How every kernel begins.
#pragma once
#include "streams.h"

namespace fake_gpu {

// Makes the device's context; the device breaks here if it was asked to.
Work begin_kernel(Stream stream);

}  // namespace fake_gpu
