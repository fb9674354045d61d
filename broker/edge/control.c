#include "broker/edge/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/local.h"
#include "shared/base/log.h"

#define OPERATORS_MOST 64
#define OUT_MOST       (64u << 20)
#define FIRST_NUMBER   (1ull << 63)

struct operator_link {
    struct operator_link *next;
    struct control_socket *control; /* borrowed */
    uint64_t number;
    int fd;
    uid_t uid;
    struct buf in, out;
    size_t sent; /* of `out` */
    bool last, writing;
};

struct control_socket {
    zloop_t *loop;  /* borrowed */
    int fd, dir_fd; /* owned */
    char *name;
    gid_t group;
    control_line *take;
    void *ctx;
    struct operator_link *links;
    size_t count;
    uint64_t last_number;
};

static zmq_pollitem_t item_of(int fd, short events)
{
    return (zmq_pollitem_t){ .fd = fd, .events = events };
}

static void hang_up(struct operator_link *link)
{
    struct control_socket *control = link->control;
    zmq_pollitem_t item = item_of(link->fd, 0);

    for (struct operator_link **at = &control->links; *at; at = &(*at)->next)
        if (*at == link) {
            *at = link->next;
            break;
        }
    control->count--;
    zloop_poller_end(control->loop, &item);
    close(link->fd);
    buf_wipe(&link->in);
    buf_wipe(&link->out); /* an invite may have passed through */
    free(link);
}

static int on_ready(zloop_t *loop, zmq_pollitem_t *item, void *arg);

/* Polls for reading, and for writing while something waits to be written. */
static void watch(struct operator_link *link, bool writing)
{
    zmq_pollitem_t item = item_of(link->fd, (short)(ZMQ_POLLIN | (writing ? ZMQ_POLLOUT : 0)));

    zloop_poller_end(link->control->loop, &item);
    zloop_poller(link->control->loop, &item, on_ready, link);
    zloop_poller_set_tolerant(link->control->loop, &item);
    link->writing = writing;
}

/* False: it is gone. */
static bool flush(struct operator_link *link)
{
    while (link->sent < link->out.len) {
        ssize_t n = send(link->fd, link->out.at + link->sent, link->out.len - link->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!link->writing)
                watch(link, true);
            return true;
        }
        if (n < 0) {
            hang_up(link);
            return false;
        }
        link->sent += (size_t)n;
    }
    link->sent = 0;
    buf_clear(&link->out);
    if (link->last) {
        hang_up(link);
        return false;
    }
    if (link->writing)
        watch(link, false);
    return true;
}

static struct operator_link *link_find(const struct control_socket *control, uint64_t number)
{
    struct operator_link *link = control->links;

    while (link && link->number != number)
        link = link->next;
    return link;
}

void control_answer(struct control_socket *control, uint64_t number, struct bytes lines, bool last)
{
    struct operator_link *link = link_find(control, number);

    if (!link)
        return;
    buf_append(&link->out, lines.at, lines.len);
    link->last = last;
    if (link->out.len - link->sent > OUT_MOST)
        hang_up(link);
    else
        flush(link);
}

/* One line may end the connection, and so `link`: it is looked up again by number. */
static void take_lines(struct control_socket *control, uint64_t number)
{
    struct operator_link *link;

    while ((link = link_find(control, number)) && !link->last) {
        uint8_t *end = link->in.len ? memchr(link->in.at, '\n', link->in.len) : NULL;
        size_t len;
        uint8_t *line;

        if (!end) {
            if (link->in.len > CONTROL_LINE_MAX)
                hang_up(link);
            return;
        }
        len = (size_t)(end - link->in.at);
        line = mem_copy(bytes_of(link->in.at, len));
        memmove(link->in.at, end + 1, link->in.len - len - 1);
        link->in.len -= len + 1;
        control->take(control->ctx, number, link->uid, bytes_of(line, len));
        free(line);
    }
}

static int on_ready(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    struct operator_link *link = arg;
    struct control_socket *control = link->control;
    uint8_t chunk[4096];
    ssize_t n;

    (void)loop;
    if ((item->revents & ZMQ_POLLOUT) && !flush(link))
        return 0;
    if (!(item->revents & (ZMQ_POLLIN | ZMQ_POLLERR)))
        return 0;
    n = recv(link->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n > 0) {
        buf_append(&link->in, chunk, (size_t)n);
        take_lines(control, link->number);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        hang_up(link);
    }
    return 0;
}

static bool in_group(int fd, gid_t first, gid_t group)
{
    gid_t groups[256];
    socklen_t len = sizeof groups;

    if (group == (gid_t)-1)
        return false;
    if (first == group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
        return false;
    for (size_t i = 0; i < len / sizeof groups[0]; i++)
        if (groups[i] == group)
            return true;
    return false;
}

static int on_connect(zloop_t *loop, zmq_pollitem_t *item, void *arg)
{
    struct control_socket *control = arg;
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct operator_link *link;
    uid_t uid;
    gid_t gid;

    (void)loop;
    (void)item;
    if (fd < 0)
        return 0;
    if (control->count >= OPERATORS_MOST || local_peer(fd, NULL, &uid, &gid) != ERR_OK
        || (uid != geteuid() && uid != 0 && !in_group(fd, gid, control->group))) {
        close(fd);
        return 0;
    }
    link = mem_zeroed(1, sizeof *link);
    link->control = control;
    link->number = FIRST_NUMBER + ++control->last_number;
    link->fd = fd;
    link->uid = uid;
    link->next = control->links;
    control->links = link;
    control->count++;
    watch(link, false);
    return 0;
}

enum err control_listen(struct control_socket **out, zloop_t *loop, int dir_fd, const char *name,
                        gid_t group, control_line *take, void *ctx)
{
    struct control_socket *control;
    zmq_pollitem_t item;
    int fd;
    enum err e = local_listen(dir_fd, name, &fd);

    if (e != ERR_OK)
        return e;
    if (group != (gid_t)-1
        && (fchownat(dir_fd, name, (uid_t)-1, group, 0) != 0
            || fchmodat(dir_fd, name, 0660, 0) != 0)) {
        close(fd);
        return ERR_UNSAFE;
    }
    control = mem_zeroed(1, sizeof *control);
    *control = (struct control_socket){
        .loop = loop, .fd = fd, .group = group, .take = take, .ctx = ctx
    };
    control->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    control->name = strdup(name);
    item = item_of(fd, ZMQ_POLLIN);
    zloop_poller(loop, &item, on_connect, control);
    zloop_poller_set_tolerant(loop, &item);
    *out = control;
    return ERR_OK;
}

void control_stop(struct control_socket **control)
{
    struct control_socket *c = *control;
    zmq_pollitem_t item;

    if (!c)
        return;
    item = item_of(c->fd, 0);
    zloop_poller_end(c->loop, &item);
    unlinkat(c->dir_fd, c->name, 0);
    while (c->links)
        hang_up(c->links);
    close(c->fd);
    close(c->dir_fd);
    free(c->name);
    free(c);
    *control = NULL;
}
