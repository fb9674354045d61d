/*
 * files - secrets on disk, directories, locks and what we refuse to trust.
 *
 * Errors   ERR_UNSAFE: wrong owner, group or other bits, or a link.  ERR_NOT_FOUND, ERR_EXISTS, ERR_IO.
 */
#ifndef BASE_FILES_H
#define BASE_FILES_H
#include <sys/types.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

/* A regular file of ours, mode 0600 or stricter, never a link; at most `max` bytes.  The caller wipes. */
enum err file_read_secret(int dir_fd, const char *name, size_t max, struct buf *out);

/* Any readable regular file, at most `max` bytes. */
enum err file_read(const char *path, size_t max, struct buf *out);

/* Temporary file beside it, fsync, rename, fsync of the directory.  Replaces. */
enum err file_write(int dir_fd, const char *name, mode_t mode, struct bytes content);

/* As file_write(), but ERR_EXISTS if there is one. */
enum err file_create(int dir_fd, const char *name, mode_t mode, struct bytes content);

/* Opens `path` as a directory that is ours and has no group or other bits beyond `mode_max`. */
enum err dir_open(const char *path, mode_t mode_max, int *out_fd);

/* Makes the directory and its parents (0700) where they are missing; the last gets `mode`. */
enum err dir_make(const char *path, mode_t mode);

/* ERR_FILESYSTEM on NFS, CIFS, 9p or FUSE: locks and WAL are not safe there. */
enum err dir_check_filesystem(int dir_fd);

/* flock, exclusive, without waiting: ERR_LOCKED.  The lock lives as long as the descriptor. */
enum err lock_take(int dir_fd, const char *name, int *out_fd);

/* The process: descriptors 0 to 2 are open, no core dump, not debuggable by others, umask 0027 or 0077. */
void process_harden(mode_t umask_bits);

#endif
