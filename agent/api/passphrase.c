#include "agent/api/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM 2048 /* nothing that fits is ever copied elsewhere by growing */

void passphrase_begin(struct buf *out)
{
    *out = (struct buf){ 0 };
    buf_extend(out, ROOM);
    buf_clear(out);
    sodium_mlock(out->at, out->cap); /* without the right to, it is wiped all the same */
}

void passphrase_end(struct buf *passphrase)
{
    if (passphrase->at)
        sodium_munlock(passphrase->at, passphrase->cap); /* wipes */
    buf_free(passphrase);
}

static void unreadable(const char *path, struct failure *failure)
{
    failure_set(failure, 4, "passphrase_needed", "see " PASSPHRASE_FILE_VARIABLE,
                "%.300s cannot be read: %s", path, strerror(errno));
}

/* A pipe is whoever's made it; a file that others can read keeps no secret. */
static bool is_private(int fd, const char *path, struct failure *failure)
{
    char hint[256];
    struct stat st;

    if (fstat(fd, &st) != 0) {
        unreadable(path, failure);
        return false;
    }
    if (!S_ISREG(st.st_mode) || (!(st.st_mode & 077) && st.st_uid == geteuid()))
        return true;
    snprintf(hint, sizeof hint, "chmod 600 %.230s", path);
    failure_set(failure, 4, "unsafe_permissions", st.st_uid == geteuid() ? hint : NULL,
                "%.300s is mode %04o%s", path, (unsigned)st.st_mode & 07777,
                st.st_uid == geteuid() ? "" : " and belongs to another user");
    return false;
}

static bool read_line(int fd, const char *path, struct buf *out, struct failure *failure)
{
    ssize_t n = 0;
    char c;

    /* one more than allowed is enough to know */
    while (out->len <= PASSPHRASE_MAX && (n = read(fd, &c, 1)) == 1 && c != '\n')
        buf_append(out, &c, 1);
    sodium_memzero(&c, 1);
    if (n < 0)
        unreadable(path, failure);
    if (out->len && out->at[out->len - 1] == '\r')
        out->len--;
    return n >= 0;
}

bool passphrase_of_file(struct buf *out, struct failure *failure)
{
    const char *path = getenv(PASSPHRASE_FILE_VARIABLE);
    int fd;

    *failure = (struct failure){ 0 };
    if (!path || !*path)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        unreadable(path, failure);
    else if (is_private(fd, path, failure) && read_line(fd, path, out, failure))
        passphrase_is_bad(out, failure);
    if (fd >= 0)
        close(fd);
    return true;
}

bool passphrase_is_bad(const struct buf *passphrase, struct failure *failure)
{
    if (passphrase->len > 0 && passphrase->len <= PASSPHRASE_MAX)
        return false;
    failure_set(failure, 2, "bad_value", NULL,
                passphrase->len ? "the passphrase is longer than 1024 bytes"
                                : "the passphrase is empty");
    return true;
}
