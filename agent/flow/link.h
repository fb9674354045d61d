/*
 * link - the one connection to the broker: its states, questions and answers, liveness.
 */
#ifndef FLOW_LINK_H
#define FLOW_LINK_H
#include "agent/flow/core.h"

enum link_event {
    LINK_START,     /* time to connect */
    LINK_CONNECTED, /* handshake done */
    LINK_FAILED,    /* no connection came about */
    LINK_REFUSE,    /* our key, version or clock is refused: a person must know */
    LINK_GREETED,   /* HELLO answered */
    LINK_ENROLLED,  /* ENROL answered: again, with our own key */
    LINK_WAIT,      /* the broker asked for patience */
    LINK_SYNCED,    /* all scopes answered */
    LINK_AGAIN,     /* HELLO once more on the same socket */
    LINK_GONE,      /* lost, or silent */
    LINK_STOP,      /* nobody wants it any more */
    LINK_EVENT_COUNT
};

/* The table of docs/protocol.md 8.1.  False: no such move, nothing changes. */
bool agent_link_next(enum link_state state, enum link_event event, enum link_state *next);
const char *agent_link_state_name(enum link_state state);

void agent_link_init(struct agent *agent);
void agent_link_free(struct agent *agent);
/* Makes the move and what belongs to it. */
void agent_link_event(struct agent *agent, enum link_event event);
/* The next try in `wait_ms`. */
void agent_link_wait(struct agent *agent, uint64_t wait_ms);
void agent_link_refuse(struct agent *agent, enum err why);
void agent_link_tick(struct agent *agent);
/* While leaving: BYE when everything else has been answered. */
void agent_link_bye(struct agent *agent);
uint64_t agent_link_next_ms(const struct agent *agent);

/* A message to be asked with; the verb is set. */
struct message agent_message(enum verb verb);
/* Sends a request and remembers it.  NULL: no connection, or the socket is full (try again later).
 * The answer comes to agent_answer(). */
struct agent_asked *agent_ask(struct agent *agent, struct message *message,
                              const struct bytes *parts, size_t count);
/* Is a request of this verb (about this scope, 0 = any) on its way? */
bool agent_is_asked(const struct agent *agent, enum verb verb, int64_t scope_id);
bool agent_is_up(const struct agent *agent);
bool agent_is_caught_up(const struct agent *agent);

#endif
