/*
 * talk - one live conversation inside a call: lines go out, messages and the word on ours come in,
 *        and in the end the session is closed (docs: cli 3.5).
 *
 * Items    `message` (to be taken), `receipt` of each message sent, {"type":"heard","id":ID} when a
 *          line needs not be said again.
 * Thread   the worker's.
 */
#ifndef API_TALK_H
#define API_TALK_H
#include "agent/api/call.h"

/* A message of ours that is not final. */
struct talk_sent {
    uint8_t id[16];
    enum outgoing_state told;
};

struct talk {
    uint8_t aid[32], sid[16];
    struct talk_sent *sent; /* owned */
    size_t sent_count, sent_room;
    uint64_t lost; /* messages that ended without being delivered */
    bool ending;   /* nothing more is said; what was said is waited for */
    uint64_t end_by_ms;
    uint64_t over_ms; /* the session is over: until then receipts may be late; 0: it goes on */
    bool closed_here;
    bool down; /* the connection is lost, and that was told */
};

enum talk_end { TALK_GOES_ON, TALK_OVER };

/* What an earlier owner has sent and not seen through: an object of id to state. */
void talk_resume(struct talk *talk, json_t *sent);
/* A line {"id":ID,"body_b64":S} of the person.  A message that cannot be sent is noted. */
void talk_say(struct call *call, struct talk *talk, json_t *line);
/* No more lines: closes when everything is final, at the latest `within_ms` from now. */
void talk_finish(struct call *call, struct talk *talk, uint64_t within_ms);
/* OVER: the call has ended, with the exit code of how it ended. */
enum talk_end talk_step(struct call *call, struct talk *talk);
void talk_took(struct call *call, const uint8_t id[static 16]);
void talk_free(struct talk *talk);

#endif
