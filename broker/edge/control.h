/*
 * control - the socket for operators: one JSON object a line is a request, lines of JSON answer.
 *
 * Who may   the owner of the process, root, and members of control/group.
 * Numbers   of its connections never meet those of agents.
 * Thread    the loop's.
 */
#ifndef EDGE_CONTROL_H
#define EDGE_CONTROL_H
#include "broker/edge/zloop.h"
#include <sys/types.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define CONTROL_LINE_MAX (64u << 10)

struct control_socket;

/* Gets one line (borrowed, without its newline) and who wrote it. */
typedef void control_line(void *ctx, uint64_t number, uid_t uid, struct bytes line);

/* `group`: who besides may; (gid_t)-1: nobody.  ERR_EXISTS: somebody listens there. */
enum err control_listen(struct control_socket **out, zloop_t *loop, int dir_fd, const char *name,
                        gid_t group, control_line *take, void *ctx);
/* Hangs up, removes the socket.  Accepts NULL. */
void control_stop(struct control_socket **control);

/* Sends lines (each with its newline).  `last`: then it is hung up. */
void control_answer(struct control_socket *control, uint64_t number, struct bytes lines, bool last);

#endif
