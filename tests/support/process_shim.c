/* A library preloaded into the real command (LD_PRELOAD), set by the environment:
 *
 *   PROCESS_SHIM_SIGNAL          raises the signal of this number while libraries are initialised, before main()
 *   PROCESS_SHIM_NO_THREADS_OF   refuses threads (EAGAIN) to libraries whose path contains this; "" to all
 *   PROCESS_SHIM_NO_LOCKS_IN     files whose path contains this cannot be locked (ENOSYS)
 *   PROCESS_SHIM_MOST_BYTES      posix_memalign(), by which LibTorch makes tensors, gives no more at once (ENOMEM) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((constructor)) static void raise_early(void) {
  const char* number = getenv("PROCESS_SHIM_SIGNAL");
  if (number != NULL) raise(atoi(number));
}

typedef int (*Create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  const char* refused = getenv("PROCESS_SHIM_NO_THREADS_OF");
  Dl_info caller;
  if (refused != NULL && dladdr(__builtin_return_address(0), &caller) != 0 &&
      strstr(caller.dli_fname, refused) != NULL)
    return EAGAIN;
  void* next = dlsym(RTLD_NEXT, "pthread_create");
  Create create;
  memcpy(&create, &next, sizeof create);
  return create(thread, attributes, run, argument);
}

typedef int (*Allocate)(void**, size_t, size_t);

int posix_memalign(void** memory, size_t alignment, size_t size) {
  const char* most = getenv("PROCESS_SHIM_MOST_BYTES");
  if (most != NULL && size > strtoull(most, NULL, 10)) return ENOMEM;
  void* next = dlsym(RTLD_NEXT, "posix_memalign");
  Allocate allocate;
  memcpy(&allocate, &next, sizeof allocate);
  return allocate(memory, alignment, size);
}

int flock(int descriptor, int operation) {
  const char* refused = getenv("PROCESS_SHIM_NO_LOCKS_IN");
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  path[length > 0 ? length : 0] = '\0';
  if (refused != NULL && strstr(path, refused) != NULL) {
    errno = ENOSYS;
    return -1;
  }
  return (int)syscall(SYS_flock, descriptor, operation);
}
