/* See io_shim.h. Every function goes to the kernel directly, so that none needs the one it replaces. */
#define _GNU_SOURCE
#include "io_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kPath = 4096 };
enum Mode { kOff, kCount, kRecord, kFail, kFailFrom, kShort, kKill, kFailReads, kStall, kStallReads };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static enum Mode mode = kOff;
static char folder[kPath], match[256];
static size_t folder_length;
static long wanted, seen, times;
static int error_number, log_descriptor = -1;

static enum Mode mode_of(const char* name) {
  static const char* const names[] = {"off",   "count", "record",     "fail",  "fail_from",
                                      "short", "kill",  "fail_reads", "stall", "stall_reads"};
  for (int i = 0; i <= kStallReads; ++i)
    if (strcmp(name, names[i]) == 0) return (enum Mode)i;
  fprintf(stderr, "io_shim: unknown mode %s\n", name);
  abort();
}

void io_shim_set(const struct IoShimSettings* settings) {
  pthread_mutex_lock(&mutex);
  if (log_descriptor >= 0) syscall(SYS_close, log_descriptor);
  log_descriptor = -1;
  seen = 0;
  mode = settings->folder != NULL ? mode_of(settings->mode) : kOff;
  if (mode != kOff) {
    folder_length = strlen(settings->folder);
    if (folder_length >= kPath) abort();
    strcpy(folder, settings->folder);
    snprintf(match, sizeof match, "%s", settings->match != NULL ? settings->match : "");
    wanted = settings->at;
    times = settings->times;
    error_number = settings->error;
    if (mode == kRecord) {
      log_descriptor =
          (int)syscall(SYS_openat, AT_FDCWD, settings->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
      if (log_descriptor < 0) abort();
    }
  }
  pthread_mutex_unlock(&mutex);
}

__attribute__((constructor)) static void set_from_environment(void) {
  const char* at = getenv("IO_SHIM_AT");
  const char* error = getenv("IO_SHIM_ERROR");
  const char* count = getenv("IO_SHIM_TIMES");
  const struct IoShimSettings settings = {
      .folder = getenv("IO_SHIM_FOLDER"),
      .match = getenv("IO_SHIM_MATCH"),
      .mode = getenv("IO_SHIM_MODE") != NULL ? getenv("IO_SHIM_MODE") : "count",
      .at = at != NULL ? atol(at) : 0,
      .error = error != NULL ? atoi(error) : EIO,
      .log = getenv("IO_SHIM_LOG"),
      .times = count != NULL ? atol(count) : 0};
  if (settings.folder != NULL) io_shim_set(&settings);
}

long io_shim_count(void) { return seen; }

static void log_bytes(const void* bytes, size_t length) {
  while (length > 0) {
    const long written = syscall(SYS_write, log_descriptor, bytes, length);
    if (written <= 0) abort();
    bytes = (const char*)bytes + written;
    length -= (size_t)written;
  }
}

static const char* relative(const char* path) {
  return path[folder_length] == '\0' ? "." : path + folder_length + 1;
}

static void record(const char* what, unsigned long inode, long offset, const void* bytes, size_t length,
                   const char* path, const char* second) {
  if (mode != kRecord) return;
  char line[2 * kPath + 100];
  const int size =
      snprintf(line, sizeof line, "%s %lu %ld %zu %s %s\n", what, inode, offset, length, path, second);
  log_bytes(line, (size_t)size);
  log_bytes(bytes, length);
}

void io_shim_mark(const char* text) {
  pthread_mutex_lock(&mutex);
  record("mark", 0, 0, "", 0, text, "-");
  pthread_mutex_unlock(&mutex);
}

static int is_below(const char* full) {
  return strncmp(full, folder, folder_length) == 0 &&
         (full[folder_length] == '/' || full[folder_length] == '\0');
}

/* Whether `path` is below the folder; `full` becomes its absolute form. */
static int is_watched(int at, const char* path, char full[kPath]) {
  if (mode == kOff || path == NULL) return 0;
  if (path[0] == '/') {
    snprintf(full, kPath, "%s", path);
  } else {
    char link[64], base[kPath];
    snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
    const long length = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
    if (length < 0) return 0;
    base[length] = '\0';
    if (snprintf(full, kPath, "%s/%s", base, path) >= kPath) return 0;
  }
  return is_below(full);
}

static int descriptor_is_watched(int descriptor, char full[kPath]) {
  if (mode == kOff) return 0;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const long length = syscall(SYS_readlinkat, AT_FDCWD, link, full, kPath - 1);
  if (length < 0) return 0;
  full[length] = '\0';
  return is_below(full);
}

static void say_hit(const char* what, const char* path) {
  char line[kPath + 100];
  const int size = snprintf(line, sizeof line, "io_shim: %ld: %s %s\n", seen, what, path);
  syscall(SYS_write, 2, line, size);
}

/* Under the mutex: all that follow wait too, as for a disk that does not answer. */
static void stall(void) {
  while (times == 0) pause();
  for (unsigned left = (unsigned)times; left > 0;) left = sleep(left);
}

/* 0: go on; -1: fail, with errno set; 1: write less than asked. */
static int gate(const char* what, const char* path) {
  if (mode == kFailReads || mode == kStallReads || strstr(path, match) == NULL) return 0;
  ++seen;
  const int is_over = times > 0 && seen >= wanted + times;
  const int hit = mode == kFailFrom ? seen >= wanted && !is_over : seen == wanted;
  if (!hit) return 0;
  /* Deleting is what a full disk allows. */
  const int is_full = error_number == ENOSPC || error_number == EDQUOT;
  if ((mode == kFail || mode == kFailFrom) && is_full && strcmp(what, "unlink") == 0) return 0;
  if (mode == kCount || mode == kRecord) return 0;
  say_hit(what, path);
  if (mode == kStall) stall();
  if (mode == kStall) return 0;
  if (mode == kKill) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
  }
  if (mode == kShort) return 1;
  errno = error_number;
  return -1;
}

/* 0: go on; -1: fail, with errno set. */
static int read_gate(const char* path) {
  if ((mode != kFailReads && mode != kStallReads) || strstr(path, match) == NULL) return 0;
  pthread_mutex_lock(&mutex);
  const long number = ++seen;
  if (mode == kStallReads && number == wanted) {
    say_hit("read", path);
    stall();
  }
  pthread_mutex_unlock(&mutex);
  if (mode == kStallReads) return 0;
  if (number < wanted || (times > 0 && number >= wanted + times)) return 0;
  errno = error_number;
  return -1;
}

static unsigned long inode_of(int at, const char* path, int flags) {
  struct stat info;
  return fstatat(at, path, &info, flags) == 0 ? info.st_ino : 0;
}

static int open_at(int at, const char* path, int flags, unsigned permissions) {
  char full[kPath];
  const int writes = (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0 && (flags & O_TMPFILE) != O_TMPFILE;
  if (!writes && is_watched(at, path, full) && read_gate(full) < 0) return -1;
  if (!writes || !is_watched(at, path, full)) return (int)syscall(SYS_openat, at, path, flags, permissions);
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (gate("open", full) >= 0) {
    const int existed = inode_of(AT_FDCWD, full, 0) != 0;
    result = (int)syscall(SYS_openat, at, path, flags, permissions);
    if (result >= 0 && !existed) record("create", inode_of(AT_FDCWD, full, 0), 0, "", 0, relative(full), "-");
    if (result >= 0 && existed && (flags & O_TRUNC))
      record("truncate", inode_of(AT_FDCWD, full, 0), 0, "", 0, relative(full), "-");
  }
  const int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}

static unsigned permissions_of(int flags, va_list arguments) {
  return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, unsigned) : 0;
}

#define OPEN(name)                                          \
  int name(const char* path, int flags, ...) {              \
    va_list arguments;                                      \
    va_start(arguments, flags);                             \
    const unsigned bits = permissions_of(flags, arguments); \
    va_end(arguments);                                      \
    return open_at(AT_FDCWD, path, flags, bits);            \
  }
#define OPENAT(name)                                        \
  int name(int at, const char* path, int flags, ...) {      \
    va_list arguments;                                      \
    va_start(arguments, flags);                             \
    const unsigned bits = permissions_of(flags, arguments); \
    va_end(arguments);                                      \
    return open_at(at, path, flags, bits);                  \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int creat(const char* path, mode_t permissions) {
  return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, permissions);
}

/* A negative offset: at the descriptor's own. */
static ssize_t write_at(int descriptor, const void* bytes, size_t length, off_t offset) {
  char full[kPath];
  int watched = 0, gated = 0;
  ssize_t result = -1;
  if (mode != kOff && (watched = descriptor_is_watched(descriptor, full)) != 0) {
    pthread_mutex_lock(&mutex);
    gated = gate("write", full);
    if (gated > 0 && length > 1) length /= 2;
  }
  if (gated >= 0) {
    const long at = watched && offset < 0 ? syscall(SYS_lseek, descriptor, 0L, SEEK_CUR) : offset;
    result = offset < 0 ? syscall(SYS_write, descriptor, bytes, length)
                        : syscall(SYS_pwrite64, descriptor, bytes, length, offset);
    if (watched && result > 0) {
      struct stat info = {0};
      fstat(descriptor, &info);
      record("write", info.st_ino, at, bytes, (size_t)result, relative(full), "-");
    }
  }
  if (watched) {
    const int error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
  }
  return result;
}

static int reading_fails(int descriptor) {
  char full[kPath];
  return (mode == kFailReads || mode == kStallReads) && descriptor_is_watched(descriptor, full) &&
         read_gate(full) < 0;
}
ssize_t read(int descriptor, void* bytes, size_t length) {
  return reading_fails(descriptor) ? -1 : syscall(SYS_read, descriptor, bytes, length);
}
ssize_t pread(int descriptor, void* bytes, size_t length, off_t offset) {
  return reading_fails(descriptor) ? -1 : syscall(SYS_pread64, descriptor, bytes, length, offset);
}
ssize_t pread64(int descriptor, void* bytes, size_t length, off_t offset) {
  return pread(descriptor, bytes, length, offset);
}

ssize_t write(int descriptor, const void* bytes, size_t length) {
  return write_at(descriptor, bytes, length, -1);
}
ssize_t pwrite(int descriptor, const void* bytes, size_t length, off_t offset) {
  return write_at(descriptor, bytes, length, offset);
}
ssize_t pwrite64(int descriptor, const void* bytes, size_t length, off_t offset) {
  return write_at(descriptor, bytes, length, offset);
}
/* Watched files get their pieces one by one: a short write in between is a short writev. */
ssize_t writev(int descriptor, const struct iovec* pieces, int count) {
  char full[kPath];
  if (!descriptor_is_watched(descriptor, full)) return syscall(SYS_writev, descriptor, pieces, count);
  ssize_t sum = 0;
  for (int i = 0; i < count; ++i) {
    if (pieces[i].iov_len == 0) continue;
    const ssize_t result = write_at(descriptor, pieces[i].iov_base, pieces[i].iov_len, -1);
    if (result < 0) return sum > 0 ? sum : -1;
    sum += result;
    if ((size_t)result < pieces[i].iov_len) break;
  }
  return sum;
}

static int sync_descriptor(int descriptor, long number) {
  char full[kPath];
  if (!descriptor_is_watched(descriptor, full)) return (int)syscall(number, descriptor);
  pthread_mutex_lock(&mutex);
  const int result = gate("fsync", full) < 0 ? -1 : 0;
  if (result == 0) {
    struct stat info = {0};
    fstat(descriptor, &info);
    record("sync", info.st_ino, 0, "", 0, relative(full), "-");
  }
  const int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}
int fsync(int descriptor) { return sync_descriptor(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return sync_descriptor(descriptor, SYS_fdatasync); }

static int truncate_descriptor(int descriptor, off_t length) {
  char full[kPath];
  if (!descriptor_is_watched(descriptor, full)) return (int)syscall(SYS_ftruncate, descriptor, length);
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (gate("truncate", full) >= 0) {
    result = (int)syscall(SYS_ftruncate, descriptor, length);
    struct stat info = {0};
    fstat(descriptor, &info);
    if (result == 0) record("truncate", info.st_ino, length, "", 0, relative(full), "-");
  }
  const int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}
int ftruncate(int descriptor, off_t length) { return truncate_descriptor(descriptor, length); }
int ftruncate64(int descriptor, off_t length) { return truncate_descriptor(descriptor, length); }

int renameat2(int from_at, const char* from, int to_at, const char* to, unsigned flags) {
  char full_from[kPath], full_to[kPath];
  if (!is_watched(from_at, from, full_from) || !is_watched(to_at, to, full_to))
    return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (gate(flags & RENAME_EXCHANGE ? "exchange" : "rename", full_from) >= 0) {
    result = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (result == 0) {
      char second[kPath];
      snprintf(second, sizeof second, "%s", relative(full_to));
      record(flags & RENAME_EXCHANGE ? "exchange" : "rename", 0, 0, "", 0, relative(full_from), second);
    }
  }
  const int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}
int renameat(int from_at, const char* from, int to_at, const char* to) {
  return renameat2(from_at, from, to_at, to, 0);
}
int rename(const char* from, const char* to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int at, const char* path, mode_t permissions) {
  char full[kPath];
  if (!is_watched(at, path, full)) return (int)syscall(SYS_mkdirat, at, path, permissions);
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (gate("mkdir", full) >= 0) {
    result = (int)syscall(SYS_mkdirat, at, path, permissions);
    if (result == 0) record("mkdir", inode_of(AT_FDCWD, full, 0), 0, "", 0, relative(full), "-");
  }
  const int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}
int mkdir(const char* path, mode_t permissions) { return mkdirat(AT_FDCWD, path, permissions); }

int unlinkat(int at, const char* path, int flags) {
  char full[kPath];
  if (!is_watched(at, path, full)) return (int)syscall(SYS_unlinkat, at, path, flags);
  pthread_mutex_lock(&mutex);
  int result = -1;
  if (gate("unlink", full) >= 0) {
    result = (int)syscall(SYS_unlinkat, at, path, flags);
    if (result == 0) record("unlink", 0, 0, "", 0, relative(full), "-");
  }
  const int error = errno;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}
int unlink(const char* path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) {
  struct stat info;
  const int is_folder = fstatat(AT_FDCWD, path, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
  return unlinkat(AT_FDCWD, path, is_folder ? AT_REMOVEDIR : 0);
}
