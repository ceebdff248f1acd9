/* A library between a program and the system that watches the file operations below one folder: it records
 * them, lets the n-th fail, or kills the process before the n-th. Linked by tests, or preloaded into the real
 * command (LD_PRELOAD) and then set by the environment:
 *
 *   IO_SHIM_FOLDER  absolute path; operations elsewhere are left alone
 *   IO_SHIM_MATCH   only paths that contain this count (default: all)
 *   IO_SHIM_MODE    count, record, fail, fail_from (the n-th and all that follow), short, kill, fail_reads,
 *                   stall (the n-th waits, and all that come meanwhile wait for it), stall_reads
 *   IO_SHIM_AT      n, from 1
 *   IO_SHIM_TIMES   fail_from, fail_reads: how many fail from the n-th on (default: all); stall, stall_reads: how many
 *                   seconds it waits (default: for ever)
 *   IO_SHIM_ERROR   number of the error for fail and fail_from (28 ENOSPC, 5 EIO, 122 EDQUOT)
 *   IO_SHIM_LOG     file for record
 *
 * Counted are: opening for writing, write, pwrite, writev, fsync, fdatasync, rename, mkdir, unlink, rmdir and
 * ftruncate; with fail_reads and stall_reads instead: opening for reading, read and pread. A full disk (ENOSPC, EDQUOT) lets
 * files be deleted. What is hit is said on stderr (not with fail_reads): "io_shim: <n>: <operation> <path>".
 * While the shim is active fsync does nothing: what it promises is for the reader
 * of the record. The record is a sequence of
 * "<operation> <inode> <offset> <length> <path> <second path>\n<length bytes>", with paths relative to the
 * folder and "-" for none; see crash_states.h. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif

struct IoShimSettings {
  const char* folder; /* NULL: inactive */
  const char* match;  /* NULL: all */
  const char* mode;
  long at;
  int error;
  const char* log;
  long times; /* 0: all */
};

void io_shim_set(const struct IoShimSettings* settings);
long io_shim_count(void);            /* operations since io_shim_set */
void io_shim_mark(const char* text); /* "mark 0 0 0 <text> -" in the record */

#ifdef __cplusplus
}
#endif
