#include "shared/base/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static enum err address_of(struct sockaddr_un *out, int dir_fd, const char *name)
{
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    if (snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", dir_fd, name)
        >= (int)sizeof out->sun_path)
        return ERR_MALFORMED;
    return ERR_OK;
}

static enum err err_of_connect(void)
{
    switch (errno) {
    case ENOENT:
    case ECONNREFUSED:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_UNSAFE;
    default:
        return ERR_IO;
    }
}

enum err local_connect_at(int dir_fd, const char *name, int *out_fd)
{
    struct sockaddr_un address;
    enum err e = address_of(&address, dir_fd, name);
    int fd;

    if (e != ERR_OK)
        return e;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        e = err_of_connect();
        close(fd);
        return e;
    }
    *out_fd = fd;
    return ERR_OK;
}

enum err local_connect(const char *path, int *out_fd)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == path ? strdup("/")
                : slash       ? strndup(path, (size_t)(slash - path))
                              : strdup(".");
    int dir_fd = dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    enum err e = dir_fd < 0 ? err_of_connect() : ERR_OK;

    if (e == ERR_OK)
        e = local_connect_at(dir_fd, slash ? slash + 1 : path, out_fd);
    if (dir_fd >= 0)
        close(dir_fd);
    free(dir);
    return e;
}

enum err local_listen(int dir_fd, const char *name, int *out_fd)
{
    struct sockaddr_un address;
    enum err e = address_of(&address, dir_fd, name);
    mode_t mask;
    int fd;

    if (e != ERR_OK)
        return e;
    if (local_connect_at(dir_fd, name, &fd) == ERR_OK) {
        close(fd);
        return ERR_EXISTS;
    }
    unlinkat(dir_fd, name, 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ERR_IO;
    mask = umask(0177); /* nobody else gets in between bind and chmod */
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0)
        e = err_of_connect();
    umask(mask);
    if (e != ERR_OK) {
        close(fd);
        return e;
    }
    *out_fd = fd;
    return ERR_OK;
}

enum err local_peer(int fd, pid_t *pid, uid_t *uid, gid_t *gid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return ERR_IO;
    if (pid)
        *pid = peer.pid;
    if (uid)
        *uid = peer.uid;
    if (gid)
        *gid = peer.gid;
    return ERR_OK;
}
