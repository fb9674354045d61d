/*
 * ports - what the broker's flow needs from outside: time, chance and a way out.
 *
 * Thread   called from the thread that runs the flow; what is handed over is `out`'s to keep.
 */
#ifndef BROKER_PORTS_H
#define BROKER_PORTS_H
#include <stdatomic.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

/*
 * Something that leaves after a commit.  Order matters: a key joins the key set before the answer
 * that tells its owner.
 */
enum outgoing_kind {
    OUT_MESSAGE,  /* to `conn`: head, then parts */
    OUT_KEY_ADD,  /* `key` may finish a handshake as agent or invite `id` */
    OUT_KEY_DROP, /* `key` may no longer; `revoked`: who has it now is put out */
    OUT_KICK,     /* end `conn`, after what was handed out for it before */
    OUT_OPERATOR, /* lines of JSON for the control connection `conn`; `last`: no more */
    OUT_STOP,     /* the operator wants the broker to stop */
    OUT_RELOAD    /* the operator wants the configuration read again; answer `conn` */
};

/* Bytes that the messages of many readers share; never changed.  Any thread holds and drops. */
struct shared_bytes {
    atomic_size_t users;
    size_t len;
    uint8_t at[];
};

struct shared_bytes *shared_new(struct bytes bytes);
struct shared_bytes *shared_hold(struct shared_bytes *shared);
void shared_drop(struct shared_bytes *shared);

struct outgoing {
    struct outgoing *next;
    enum outgoing_kind kind;
    uint64_t conn;
    struct buf head; /* OUT_MESSAGE: part 0.  OUT_OPERATOR: text */
    size_t part_count;
    struct buf body; /* the parts of its own, one behind the other */
    uint32_t part_len[63];
    struct shared_bytes **shared; /* by part: it is that, held; NULL: it is its own.  NULL: all are */
    bool last;
    /* OUT_KEY_ADD, OUT_KEY_DROP */
    uint8_t key[32];
    bool is_invite, revoked;
    int64_t id; /* agent_id or invite_id */
    uint8_t aid[32], identity_key[32];
};

struct outgoing *outgoing_new(enum outgoing_kind kind, uint64_t conn);
void outgoing_free(struct outgoing **out);
/* The next part, in its own memory, or shared with others. */
void outgoing_add(struct outgoing *out, struct bytes part);
void outgoing_share(struct outgoing *out, struct shared_bytes *shared);
/* Takes the last part away. */
void outgoing_cut(struct outgoing *out);
/* Every part becomes its own. */
void outgoing_gather(struct outgoing *out);

struct flow_ports {
    void *ctx;                                           /* handed back to each call */
    uint64_t (*now_ms)(void *ctx);                       /* Unix time */
    uint64_t (*elapsed_ms)(void *ctx);                   /* monotonic; for timers and rates */
    void (*random)(void *ctx, uint8_t *out, size_t len); /* never fails */
    void (*hand_out)(void *ctx, struct outgoing *out);   /* takes it */
    uint64_t (*disk_free)(void *ctx);                    /* bytes; UINT64_MAX: does not matter */
};

#endif
