/*
 * local - sockets in the file system, under a path of any length.
 *
 * The kernel takes 107 bytes of path; programs go through the opened directory instead.
 *
 * Errors   ERR_NOT_FOUND: no such socket, or nobody listens.  ERR_UNSAFE: may not.  ERR_EXISTS:
 * somebody listens there.  ERR_IO.
 */
#ifndef BASE_LOCAL_H
#define BASE_LOCAL_H
#include <sys/types.h>

#include "shared/base/err.h"

/* Stream socket, close-on-exec, non-blocking, mode 0600.  A dead socket of that name is replaced.
 */
enum err local_listen(int dir_fd, const char *name, int *out_fd);

/* Stream socket, close-on-exec, blocking. */
enum err local_connect(const char *path, int *out_fd);
enum err local_connect_at(int dir_fd, const char *name, int *out_fd);

/* Who is at the other end. */
enum err local_peer(int fd, pid_t *pid, uid_t *uid, gid_t *gid);

#endif
