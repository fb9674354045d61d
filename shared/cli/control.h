/*
 * control - a client of the broker's control socket: one JSON object asks, lines of JSON answer.
 *
 * The request is {"verb":"invite", …} with the long flags of sealpostctl as keys ('-' becomes '_')
 * and "args":[…]; answers are the objects of cli 5.1.  An answer of type "error" is the last one.
 *
 * Errors   ERR_NOT_FOUND: nobody listens.  ERR_UNSAFE: not permitted.  ERR_IO: it hung up.
 * ERR_MALFORMED.
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/base/err.h"

struct control;

enum err control_open(struct control **out, const char *socket_path);
void control_close(struct control **control);

/* Borrows the request. */
enum err control_ask(struct control *control, json_t *request);

/* The next answer: a new reference in `out`, or ERR_OK with NULL when there are no more.
 * ERR_UNREACHABLE: nothing came within the time. */
enum err control_next(struct control *control, uint64_t timeout_ms, json_t **out);

/* Waits until the broker has hung up: after `stop` that is when its lock is free. */
enum err control_wait_end(struct control *control, uint64_t timeout_ms);

#endif
