/*
 * call - one command at work inside the worker: a verb, its parameters, and what comes of it.
 *
 * A verb starts, is stepped whenever something may have changed or its time has come, says items
 * and notes, and ends once, with an exit code or a failure.  The command line prints; a verb never
 * does.
 *
 * Thread   the worker's.
 */
#ifndef API_CALL_H
#define API_CALL_H
#include <jansson.h>

#include "agent/api/failure.h"
#include "agent/flow/agent.h"

struct call;
struct guests;

struct call_verb {
    const char *name;
    bool online;                      /* wants the link, unless --offline */
    size_t state_len;                 /* of call->state, zeroed */
    void (*start)(struct call *call); /* parameters are read here; may end it; then it is stepped */
    void (*step)(struct call *call);
    void (*took)(struct call *call, const uint8_t id[static 16]); /* an item has been printed */
    void (*hear)(struct call *call, json_t *input); /* what a person says meanwhile; borrowed */
    /* The live session whose messages are for this call alone; NULL: none. */
    const uint8_t *(*serves)(const struct call *call);
    void (*stop)(struct call *call); /* frees what the state owns; NULL: nothing */
};

struct call {
    const struct call_verb *verb;
    struct agent *agent;             /* borrowed */
    const struct call_host *host;    /* borrowed */
    json_t *params;                  /* owned */
    void *state;                     /* owned, the verb's */
    uint64_t started_ms, timeout_ms; /* elapsed clock; timeout UINT64_MAX: not given */
    uint64_t now_ms;                 /* elapsed, at this step */
    uint64_t wake_ms;                /* step again then, whatever happens */
    bool offline, reached, ended;
    uint64_t number;      /* order of arrival */
    uint8_t (*hands)[16]; /* owned: messages given to this call and not settled */
    size_t hand_count;
    uint64_t alarms;  /* open at the start that need a person */
    bool awaits_took; /* an item is out that the client has not confirmed */
    void (*say)(struct call *call, json_t *line); /* one line to the client; takes it */
    void *say_ctx;
};

/* What verbs need to know of the process they run in. */
struct call_host {
    const char *profile, *dir;
    const char *owner_command; /* of an owner that stays; NULL: this one does not */
    int64_t owner_pid;
    /* Messages that are in anybody's hands: not to be given out again. */
    struct guests *guests;
    const uint8_t (*(*hands)(const struct call_host *host, size_t *count))[16];
    /* Sessions that a call serves: their messages are not for others. */
    const uint8_t (*(*served)(const struct call_host *host, size_t *count))[16];
    /* Reads agent.conf anew. */
    bool (*reload)(const struct call_host *host, struct failure *failure);
    uint64_t (*now_ms)(void); /* Unix time */
    void *ctx;
};

const struct call_verb *call_verb_find(const char *name);

/* ------------------------------------------------------------------ said by verbs */

void call_item(struct call *call, json_t *object);
/* An item that the client confirms with its id once it is on paper. */
void call_item_to_take(struct call *call, json_t *object, const uint8_t id[static 16]);
/* It is settled: nobody has it in hands any more. */
void call_hand_drop(struct call *call, const uint8_t id[static 16]);
void call_note(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* At once, and only with -v. */
void call_detail(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
void call_end(struct call *call, int exit);
void call_fail(struct call *call, const struct failure *failure);
void call_fail_with(struct call *call, int exit, const char *code, const char *hint,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
void call_fail_err(struct call *call, enum err e, const char *what);

/* ------------------------------------------------------------------ parameters */

const char *call_text(const struct call *call, const char *key); /* NULL: not given */
/* An element of a list; "" if it is no text. */
const char *call_word(const json_t *value);
bool call_flag(const struct call *call, const char *key);
uint64_t call_number(const struct call *call, const char *key, uint64_t otherwise);
/* started + timeout, or + `otherwise_ms` if none was given; UINT64_MAX stays. */
uint64_t call_deadline(const struct call *call, uint64_t otherwise_ms);

/* ------------------------------------------------------------------ alarms */

/* Is it one that only a person can settle (exit 7)?  And what that person does first. */
bool alarm_needs_person(const char *code);
void alarm_hint(char *out, size_t size, const char *code, struct bytes peer);
/* "PEER: what it means: the detail" */
void alarm_message(char *out, size_t size, const char *code, const struct alarm_info *info);
/* How many of these are open; the last one becomes `newest` (may be NULL). */
uint64_t call_alarms(struct call *call, struct failure *newest);

/* ------------------------------------------------------------------ shared by verbs */

enum reach { REACH_WAITING, REACH_THERE, REACH_NOT };

/*
 * Has the broker told all that it has for us?  NOT: offline, refused, twice nobody there, or
 * `until_ms` is over.  While WAITING the call is woken at `until_ms`.
 */
enum reach call_reach(struct call *call, uint64_t until_ms);
/* Why the broker was not reached, or refused us. */
void call_link_failure(struct call *call, struct failure *out);
/* Is there a refusal that only a person can cure?  Then `out` is it. */
bool call_link_refused(struct call *call, struct failure *out);

/* The one message whose id begins so; else `failure` says why not. */
bool call_match_message(struct call *call, const char *prefix, uint8_t id[static 16],
                        bool *incoming, struct failure *failure);
/* The same; else the call has failed. */
bool call_find_message(struct call *call, const char *prefix, uint8_t id[static 16],
                       bool *incoming);
/* ERR_UNKNOWN_AGENT with the nearest names. */
void call_fail_unknown_agent(struct call *call, const char *peer);
/* What agent_peer_find(), agent_send() and their like said of `peer`. */
void call_peer_failure(struct call *call, enum err e, const char *peer, struct failure *out);
/* Fails the call for what agent_peer_find() or agent_send() said of `peer`. */
void call_fail_peer(struct call *call, enum err e, const char *peer);
/* Who is meant by a name or id:FINGERPRINT, whatever its trust: pins and the log of this disk, then
 * the broker's.  False: the call has failed, or waits for the broker until `until_ms`. */
bool call_find_peer(struct call *call, const char *peer, uint64_t until_ms, uint8_t aid[static 32]);
/* True for myself, by name or fingerprint. */
bool call_is_self(struct call *call, const char *peer);

#endif
