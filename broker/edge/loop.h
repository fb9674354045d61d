/*
 * loop - the broker's outside: sockets, signals, timers, the operator's socket.  It starts the
 * store actor, feeds it and sends what comes of it.
 *
 * Order    loop_open(), flow_open() with loop_hand_out() as port, loop_listen(), loop_start(),
 *          loop_control(), loop_run(); then flow and store are closed, then loop_close().
 * Thread   main; loop_hand_out() also the actor's.
 * Signals  TERM, INT, HUP, USR1 must be blocked before the first thread is made.
 */
#ifndef EDGE_LOOP_H
#define EDGE_LOOP_H
#include <sys/types.h>

#include "broker/edge/gate.h"
#include "broker/edge/listener.h"
#include "broker/flow/flow.h"

struct loop;

/* What the loop leaves to whoever owns it. */
struct loop_hooks {
    void *ctx;
    /* SIGHUP (conn 0), or an operator's order: answer `conn` with loop_answer(). */
    void (*reload)(void *ctx, uint64_t conn);
    /* A line from an operator; true: answered here, the flow does not get it. */
    bool (*command)(void *ctx, uint64_t conn, struct bytes line);
    /* Lines for conn 0: answers to loop_command() of ours. */
    void (*answer)(void *ctx, struct bytes lines);
    void (*summary)(void *ctx);  /* SIGUSR1 */
    void (*second)(void *ctx);   /* every second */
    void (*stopping)(void *ctx); /* no more requests are taken */
};

struct loop_options {
    const struct curve_keys *keys; /* borrowed until loop_listen() has returned */
    int handshake_ms;
    struct gate_limits limits;
    struct loop_hooks hooks;
};

/* ERR_UNSUPPORTED: sockets, descriptors or options do not work. */
enum err loop_open(struct loop **out, const struct loop_options *options);
void loop_close(struct loop **loop);

/* The flow's way out; takes it. */
void loop_hand_out(struct loop *loop, struct outgoing *out);

/* The store actor begins, and has answered once.  Borrows `flow` until loop_run() has returned, or
 * loop_abandon(). */
enum err loop_start(struct loop *loop, struct flow *flow);

/*
 * Takes in the keys, binds the gate and the endpoints, and tests itself through the first of them:
 * a random key must be refused, a known one admitted under its own name.  ERR_UNSUPPORTED;
 * ERR_AUTH: the self-test failed, nothing listens any more.
 */
enum err loop_listen(struct loop *loop, const struct curve_keys *keys, const char *const *endpoints,
                     size_t count);
/* As bound, with port.  NULL beyond the last. */
const char *loop_endpoint(const struct loop *loop, size_t i);

/* The operator's socket.  ERR_EXISTS, ERR_UNSAFE, ERR_IO. */
enum err loop_control(struct loop *loop, int dir_fd, const char *name, gid_t group);

/* Until a signal, an operator, or a failure of the store ends it: ERR_OK, ERR_STORE.  `grace_ms`:
 * how long to wait at the end for what is under way. */
enum err loop_run(struct loop *loop, uint64_t grace_ms);
/* Ends the actor when loop_run() is never called. */
void loop_abandon(struct loop *loop);
void loop_set_grace(struct loop *loop, uint64_t grace_ms);

/* New limits for the loop, new settings for the flow (copied). */
void loop_configure(struct loop *loop, const struct gate_limits *limits,
                    const struct flow_settings *settings);

/* A request of ours to the flow, as an operator would write it; conn 0, or whom to answer. */
void loop_command(struct loop *loop, uint64_t conn, uid_t uid, struct bytes line);
void loop_answer(struct loop *loop, uint64_t conn, struct bytes lines, bool last);

/* Has the actor come round lately? */
bool loop_store_answers(const struct loop *loop);

struct loop_counts {
    struct listener_counts listener;
    struct gate_counts gate;
    size_t connections, descriptors;
};
void loop_counts(const struct loop *loop, struct loop_counts *out);

#endif
