// PIXART_CPU_CLONES before a function compiles it for several instruction sets; the program then uses the
// best one that the processor has. Functions called inside it must be marked PIXART_INLINE, so that they are
// compiled for the same instruction set.
#pragma once

namespace pixart::base {

// Whether the processor has registers for 32 vectors of 64 bytes, and a clone for them runs.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define PIXART_CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
inline const bool kHas32VectorRegisters = __builtin_cpu_supports("x86-64-v4");
#else
#define PIXART_CPU_CLONES
inline const bool kHas32VectorRegisters = false;
#endif

}  // namespace pixart::base

#define PIXART_INLINE inline __attribute__((always_inline))
