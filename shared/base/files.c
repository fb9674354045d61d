#include "shared/base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

static enum err err_of_errno(void)
{
    switch (errno) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ELOOP:
    case EACCES:
    case EPERM:
        return ERR_UNSAFE;
    case EROFS:
        return ERR_READ_ONLY;
    case ENOSPC:
    case EDQUOT:
        return ERR_STORE_FULL;
    default:
        return ERR_IO;
    }
}

static enum err read_all(int fd, size_t max, struct buf *out)
{
    buf_clear(out);
    for (;;) {
        uint8_t *to = buf_extend(out, 4096);
        ssize_t n = read(fd, to, 4096);

        out->len -= 4096 - (n > 0 ? (size_t)n : 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (out->len > max)
            return ERR_TOO_LARGE;
        if (n == 0)
            return ERR_OK;
    }
}

enum err file_read_secret(int dir_fd, const char *name, size_t max, struct buf *out)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    enum err e;

    if (fd < 0)
        return err_of_errno();
    if (fstat(fd, &st) != 0)
        e = ERR_IO;
    else if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || st.st_uid != geteuid())
        e = ERR_UNSAFE;
    else
        e = read_all(fd, max, out);
    close(fd);
    return e;
}

enum err file_read(const char *path, size_t max, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum err e;

    if (fd < 0)
        return err_of_errno();
    e = read_all(fd, max, out);
    close(fd);
    return e;
}

static enum err write_all(int fd, struct bytes content)
{
    while (content.len) {
        ssize_t n = write(fd, content.at, content.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_of_errno();
        content.at += n;
        content.len -= (size_t)n;
    }
    return fsync(fd) == 0 ? ERR_OK : ERR_IO;
}

static enum err write_beside(int dir_fd, const char *name, mode_t mode, struct bytes content,
                             bool replace)
{
    char temporary[300];
    enum err e;
    int fd;

    if (snprintf(temporary, sizeof temporary, ".%s.%d.new", name, (int)getpid())
        >= (int)sizeof temporary)
        return ERR_MALFORMED;
    unlinkat(dir_fd, temporary, 0);
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_of_errno();
    e = fchmod(fd, mode) == 0 ? write_all(fd, content) : ERR_IO;
    close(fd);
    if (e == ERR_OK) {
        if (replace ? renameat(dir_fd, temporary, dir_fd, name) != 0
                    : linkat(dir_fd, temporary, dir_fd, name, 0) != 0)
            e = err_of_errno();
        else if (fsync(dir_fd) != 0)
            e = ERR_IO;
    }
    if (e != ERR_OK || !replace)
        unlinkat(dir_fd, temporary, 0);
    return e;
}

enum err file_write(int dir_fd, const char *name, mode_t mode, struct bytes content)
{
    return write_beside(dir_fd, name, mode, content, true);
}

enum err file_create(int dir_fd, const char *name, mode_t mode, struct bytes content)
{
    return write_beside(dir_fd, name, mode, content, false);
}

enum err dir_open(const char *path, mode_t mode_max, int *out_fd)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_of_errno();
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 0777 & ~mode_max)) {
        close(fd);
        return ERR_UNSAFE;
    }
    *out_fd = fd;
    return ERR_OK;
}

enum err dir_make(const char *path, mode_t mode)
{
    char *copy = strdup(path);
    enum err e = ERR_OK;

    if (!copy)
        return ERR_NOMEM;
    for (char *at = copy + 1; *at && e == ERR_OK; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            e = err_of_errno();
        *at = '/';
    }
    if (e == ERR_OK && mkdir(copy, mode) != 0)
        e = errno == EEXIST ? ERR_EXISTS : err_of_errno();
    else if (e == ERR_OK && chmod(copy, mode) != 0)
        e = ERR_IO;
    free(copy);
    return e;
}

enum err dir_check_filesystem(int dir_fd)
{
    /* statfs(2): NFS, SMB, CIFS, SMB2, 9p, FUSE */
    static const unsigned long network[]
        = { 0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546 };
    struct statfs fs;

    if (fstatfs(dir_fd, &fs) != 0)
        return ERR_IO;
    for (size_t i = 0; i < sizeof network / sizeof network[0]; i++)
        if (((unsigned long)fs.f_type & 0xffffffff) == network[i])
            return ERR_FILESYSTEM;
    return ERR_OK;
}

enum err lock_take(int dir_fd, const char *name, int *out_fd)
{
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_of_errno();
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum err e = errno == EWOULDBLOCK ? ERR_LOCKED : ERR_IO;

        close(fd);
        return e;
    }
    *out_fd = fd;
    return ERR_OK;
}

void process_harden(mode_t umask_bits)
{
    const struct rlimit none = { 0, 0 };

    /* Else the first file opened is "stderr", and log lines are written into it. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(1);

    umask(umask_bits);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
}
