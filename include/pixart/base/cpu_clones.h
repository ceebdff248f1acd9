// PIXART_CPU_CLONES before a function: it is compiled for several instruction sets, of which the program
// takes the best that the processor has. What it calls must be inlined into it, PIXART_INLINE, to be compiled
// along with it.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define PIXART_CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PIXART_CPU_CLONES
#endif
#define PIXART_INLINE inline __attribute__((always_inline))
