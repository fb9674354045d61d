#include "shared/cli/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/bytes.h"
#include "shared/base/clock.h"
#include "shared/base/local.h"

#define LINE_MAX_LEN (1u << 20)

struct control {
    int fd;
    struct buf in; /* what has come and is not taken */
    bool ended;
};

enum err control_open(struct control **out, const char *socket_path)
{
    struct control *control;
    int fd;
    enum err e = local_connect(socket_path, &fd);

    if (e != ERR_OK)
        return e;
    control = mem_zeroed(1, sizeof *control);
    control->fd = fd;
    *out = control;
    return ERR_OK;
}

void control_close(struct control **control)
{
    if (!*control)
        return;
    close((*control)->fd);
    buf_wipe(&(*control)->in); /* an invite may have passed through */
    free(*control);
    *control = NULL;
}

enum err control_ask(struct control *control, json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;
    enum err e = text ? ERR_OK : ERR_MALFORMED;

    if (text)
        text[len++] = '\n'; /* in place of the NUL: sent with its length */
    for (size_t done = 0; e == ERR_OK && done < len;) {
        ssize_t n = send(control->fd, text + done, len - done, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            e = ERR_IO;
        else if (n > 0)
            done += (size_t)n;
    }
    free(text);
    return e;
}

/* More bytes into `in`.  ERR_UNREACHABLE: none came in time. */
static enum err read_more(struct control *control, uint64_t until_ms)
{
    uint64_t now = clock_elapsed_ms();
    struct pollfd one = { control->fd, POLLIN, 0 };
    ssize_t n;
    uint8_t *to;

    if (poll(&one, 1, now >= until_ms ? 0 : (int)(until_ms - now)) <= 0)
        return ERR_UNREACHABLE;
    to = buf_extend(&control->in, 16384);
    n = recv(control->fd, to, 16384, 0);
    control->in.len -= 16384 - (n > 0 ? (size_t)n : 0);
    if (n < 0)
        return errno == EINTR ? ERR_OK : ERR_IO;
    control->ended = n == 0;
    return ERR_OK;
}

enum err control_next(struct control *control, uint64_t timeout_ms, json_t **out)
{
    uint64_t until_ms = clock_elapsed_ms() + timeout_ms;
    uint8_t *end = NULL;
    enum err e = ERR_OK;
    size_t len;

    *out = NULL;
    while (e == ERR_OK && !control->ended
           && !(control->in.len && (end = memchr(control->in.at, '\n', control->in.len)))) {
        if (control->in.len > LINE_MAX_LEN)
            return ERR_MALFORMED;
        e = read_more(control, until_ms);
    }
    if (e != ERR_OK)
        return e;
    if (!end && control->in.len)
        end = memchr(control->in.at, '\n', control->in.len);
    if (!end)
        return control->in.len ? ERR_IO : ERR_OK;
    len = (size_t)(end - control->in.at);
    *out = json_loadb((const char *)control->in.at, len, JSON_REJECT_DUPLICATES, NULL);
    memmove(control->in.at, end + 1, control->in.len - len - 1);
    control->in.len -= len + 1;
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return ERR_MALFORMED;
    }
    return ERR_OK;
}

enum err control_wait_end(struct control *control, uint64_t timeout_ms)
{
    uint64_t until_ms = clock_elapsed_ms() + timeout_ms;

    while (!control->ended) {
        enum err e = read_more(control, until_ms);

        if (e == ERR_IO)
            return ERR_OK; /* it ended without a farewell */
        if (e != ERR_OK)
            return e;
        buf_clear(&control->in);
    }
    return ERR_OK;
}
