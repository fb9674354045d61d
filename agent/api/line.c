#include "agent/api/line.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_LEN (4u << 20) /* a body of 60 KiB, every byte escaped, fits ten times */
#define READ_LEN     65536

void line_open(struct line *line, int fd)
{
    *line = (struct line){ .fd = fd };
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void line_close(struct line *line)
{
    if (line->fd >= 0)
        close(line->fd);
    line->fd = -1;
    buf_wipe(&line->in);
    buf_wipe(&line->out);
    line->in_done = line->out_done = 0;
}

/* Forgets the first `done` bytes. */
static void drop_front(struct buf *buf, size_t *done)
{
    if (*done == 0)
        return;
    memmove(buf->at, buf->at + *done, buf->len - *done);
    sodium_memzero(buf->at + buf->len - *done, *done);
    buf->len -= *done;
    *done = 0;
}

enum err line_fill(struct line *line)
{
    drop_front(&line->in, &line->in_done);
    for (;;) {
        uint8_t *to = buf_extend(&line->in, READ_LEN);
        ssize_t n = recv(line->fd, to, READ_LEN, 0);

        line->in.len -= READ_LEN - (n > 0 ? (size_t)n : 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_OK : ERR_UNREACHABLE;
        if (n == 0)
            return ERR_UNREACHABLE;
        if (line->in.len > LINE_MAX_LEN || n < READ_LEN)
            return ERR_OK;
    }
}

enum err line_next(struct line *line, json_t **out)
{
    const uint8_t *from, *end;
    size_t left;

    *out = NULL;
    left = line->in.len - line->in_done;
    if (left == 0)
        return ERR_OK;
    from = line->in.at + line->in_done;
    end = memchr(from, '\n', left);
    if (!end)
        return left > LINE_MAX_LEN ? ERR_MALFORMED : ERR_OK;
    line->in_done += (size_t)(end - from) + 1;
    *out = json_loadb((const char *)from, (size_t)(end - from), JSON_ALLOW_NUL, NULL);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return ERR_MALFORMED;
    }
    return ERR_OK;
}

void line_put(struct line *line, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (text) {
        buf_append(&line->out, text, strlen(text));
        buf_append(&line->out, "\n", 1);
        sodium_memzero(text, strlen(text));
    }
    free(text);
    json_decref(object);
}

enum err line_flush(struct line *line)
{
    while (line->out_done < line->out.len) {
        ssize_t n = send(line->fd, line->out.at + line->out_done, line->out.len - line->out_done,
                         MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_OK : ERR_UNREACHABLE;
        line->out_done += (size_t)n;
    }
    drop_front(&line->out, &line->out_done);
    return ERR_OK;
}

bool line_pending(const struct line *line)
{
    return line->out_done < line->out.len;
}
