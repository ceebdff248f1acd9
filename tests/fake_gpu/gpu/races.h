// Finds work on memory that no event, stream or wait orders after earlier work on the same bytes.
#pragma once
#include <cstddef>
#include <string>

#include "streams.h"

namespace fake_gpu {

// The work `what` reads or writes these bytes. Reports a race, and memory that is freed or too small.
void touch(const Work& work, const void* memory, size_t bytes, bool writes, const std::string& what);

}  // namespace fake_gpu
