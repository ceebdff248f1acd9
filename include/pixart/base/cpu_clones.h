// PIXART_CPU_CLONES before a function compiles it for several instruction sets; the program then uses the
// best one that the processor has. Functions called inside it must be marked PIXART_INLINE, so that they are
// compiled for the same instruction set.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define PIXART_CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PIXART_CPU_CLONES
#endif
#define PIXART_INLINE inline __attribute__((always_inline))
