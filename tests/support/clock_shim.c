/* A clock that lies, preloaded into the real command (LD_PRELOAD) and set by the environment:
 *
 *   CLOCK_SHIM_MODE     offset (constant), backwards (one second back at each call), frozen, fast, jumps
 *   CLOCK_SHIM_SECONDS  offset: seconds; fast: the factor; jumps: the farthest jump, other at each call
 *
 * Only the wall clock lies; deadlines use the monotonic one. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char* mode = "";
static double amount;
static double first;
static unsigned calls;

static double true_time(void) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

__attribute__((constructor)) static void set_from_environment(void) {
  first = true_time();
  if (getenv("CLOCK_SHIM_MODE") != NULL) mode = getenv("CLOCK_SHIM_MODE");
  if (getenv("CLOCK_SHIM_SECONDS") != NULL) amount = atof(getenv("CLOCK_SHIM_SECONDS"));
}

static double told_time(void) {
  const double now = true_time();
  const unsigned call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
  if (strcmp(mode, "offset") == 0) return now + amount > 0 ? now + amount : 0;
  if (strcmp(mode, "backwards") == 0) return first - call;
  if (strcmp(mode, "frozen") == 0) return first;
  if (strcmp(mode, "fast") == 0) return first + amount * (now - first);
  if (strcmp(mode, "jumps") == 0) return now + amount * ((double)(call * 2654435761u % 2001) / 1000 - 1);
  return now;
}

int clock_gettime(clockid_t clock, struct timespec* result) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
    return (int)syscall(SYS_clock_gettime, clock, result);
  const double told = told_time();
  result->tv_sec = (time_t)told;
  result->tv_nsec = (long)((told - (double)result->tv_sec) * 1e9);
  return 0;
}

int gettimeofday(struct timeval* result, void* zone) {
  (void)zone;
  struct timespec told;
  clock_gettime(CLOCK_REALTIME, &told);
  result->tv_sec = told.tv_sec;
  result->tv_usec = told.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* result) {
  const time_t told = (time_t)told_time();
  if (result != NULL) *result = told;
  return told;
}
