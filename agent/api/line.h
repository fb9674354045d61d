/*
 * line - JSON objects, one a line, over a stream socket: how a command talks to the owner of a
 *        profile, and to a worker inside its own process.
 *
 * Thread   one per end.
 */
#ifndef API_LINE_H
#define API_LINE_H
#include <jansson.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

struct line {
    int fd;             /* non-blocking; owned from line_open() on; -1: none */
    struct buf in, out; /* wiped: bodies of messages pass through here */
    size_t in_done;     /* bytes of `in` that were handed out */
    size_t out_done;    /* bytes of `out` that were written */
};

/* Takes the descriptor and makes it non-blocking. */
void line_open(struct line *line, int fd);
/* Closes and wipes. */
void line_close(struct line *line);

/* Reads what there is.  ERR_OK; ERR_UNREACHABLE: the other end is gone, what came before it can
 * still be taken. */
enum err line_fill(struct line *line);

/* The next object, a new reference; NULL: no whole line is there.  ERR_MALFORMED: not an object, or
 * longer than any of ours. */
enum err line_next(struct line *line, json_t **out);

/* Queues; takes the object. */
void line_put(struct line *line, json_t *object);
/* Writes what can be written without waiting. */
enum err line_flush(struct line *line);
bool line_pending(const struct line *line);

#endif
