/*
 * core - what the modules of agent/flow share: one agent's state in memory.
 *
 * Everything here can be made anew from the store: after a failed transaction, and after a crash,
 * that is what happens.  Nobody outside agent/flow includes it.
 */
#ifndef FLOW_CORE_H
#define FLOW_CORE_H
#include <string.h>

#include "agent/flow/agent.h"
#include "agent/store/me.h"
#include "agent/store/store.h"
#include "shared/trust/credential.h"
#include "shared/wire/limit.h"
#include "shared/wire/lists.h"

/* Who I am, unsealed. */
struct agent_me {
    struct profile_me row;
    uint8_t ik_public[32], ik_secret[64];
    uint8_t card_hash[32];
    uint64_t card_created_ms, card_suites;
    struct bytes card_info; /* borrowed from row.card */
    uint64_t certificate_expires_ms, certificate_renew_ms;
    uint8_t certified_hash[32]; /* the card that the certificate names */

    bool revoked;
};

struct sent_frame {
    int64_t scope_id, outbox_id;
    uint64_t seq;
};

/* A request that has no answer yet. */
struct agent_asked {
    struct agent_asked *next;
    uint32_t rid;
    enum verb verb;
    uint64_t sent_ms;          /* elapsed clock */
    int64_t scope_id, peer_id; /* what it is about, where that says enough */
    uint64_t number;
    uint8_t scope[16];
    uint8_t aid[32];
    struct sent_frame *frames; /* SEND; owned */
    size_t frame_count, bytes;
};

struct agent_conn {
    enum link_state state;
    bool wanted, open, enrolling, reached;
    bool busy;              /* the socket is full: nothing is tried until … */
    uint64_t busy_until_ms; /* … then, on the elapsed clock */
    bool leaving, said_bye; /* the program ends: what is signed and sealed goes out first */
    uint64_t leave_by_ms;
    enum err refusal;
    unsigned failures; /* refused in a row */
    unsigned attempts; /* without success, for the back-off */
    uint64_t due_ms;   /* next try, on the elapsed clock; UINT64_MAX: none */
    uint64_t started_ms, heard_ms, enrol_ms;
    bool pinged;
    uint32_t rid;
    struct agent_asked *asked;
    size_t flying, flying_bytes; /* SENDs without an answer */
    uint8_t instance[16];
    uint32_t transport_key; /* the number of the one that this connection was made with */
    bool newest_key;        /* the next one with the newest, though no certificate names it */
    /* What the last HELLO said. */
    uint64_t broker_log_next; /* entries that the broker had */
    uint8_t broker_log_head[32];
    uint64_t last_position, waiting;
    uint64_t most_flying, most_flying_bytes, frame_life_ms;
    uint64_t most_members; /* of a new group */
    bool new_incarnation;
    int64_t skew_ms;
    bool skew_known;
    uint64_t told_ms, told_at_ms; /* the broker's clock, and the elapsed one at that moment */
    uint64_t rtt_ms;
    bool rtt_known;
    uint64_t pongs;
    uint64_t retry_after_ms;
};

/* How far each session's, and each group's, frames have gone on this connection (docs/protocol.md
 * 6.3). */
struct agent_sender {
    struct agent_sender *next;
    int64_t scope_id;
    uint8_t sid[16]; /* or gid */
    bool group;
    uint32_t refused_epoch; /* A2A_EPOCH: what is not accepted is sealed anew under a later one */
    uint64_t acc;      /* the broker has my frames up to here */
    uint64_t transmit; /* next number to transmit */
    unsigned flying;   /* messages with frames of it, without an answer */
    bool stopped;      /* an error: rewind when flying is 0 */
    bool only_gaps;
    bool grown;     /* acc grew since the error */
    bool ended;     /* nothing more goes out here */
    bool held;      /* the broker lacks events that come first */
    bool advancing; /* a statement of settled numbers is on its way */
    bool idle;      /* nothing to transmit, as far as known */
    unsigned failures;
    uint64_t wait_ms; /* elapsed clock */
    enum err refusal; /* the last one, for people */
    uint64_t retry_after_ms;
};

/* A peer that we have something for and no session with. */
struct agent_opening {
    struct agent_opening *next;
    int64_t peer_id;
    bool live;                       /* for a live session, beside all others */
    int64_t rotates;                 /* in the place of this session; 0: of none */
    bool asked;                      /* a LOOKUP is on its way */
    bool answered;                   /* the bundle below waits for the log */
    struct buf credential, spk, opk; /* spk: statement ‖ signature; opk: id u32 ‖ key, or empty */
    unsigned failures;
    uint64_t wait_ms; /* elapsed clock */
    enum err refusal;
    uint64_t retry_after_ms;
};

/* What LOOKUP said about somebody's presence. */
struct agent_presence {
    struct agent_presence *next;
    uint8_t aid[32];
    bool asked, known, online;
    uint64_t seen_ms;
    bool adopts; /* asked because of a session that this profile does not know: */
    uint8_t sid[16];
};

/* A DELIVER whose next item must wait: delivery.h. */
struct agent_delivery {
    struct agent_delivery *next;
    struct buf head, body;
    size_t part_len[WIRE_PARTS_MAX];
    size_t part_count;
    size_t done; /* items taken in */
};

struct agent_channel; /* channel.h */
struct agent_group;   /* group.h */

struct agent {
    struct agent_store *store; /* owned */
    const struct agent_ports *ports;
    struct agent_settings settings;
    struct agent_me me;
    struct agent_conn link;

    struct agent_sender *senders;
    struct agent_opening *openings;
    struct agent_presence *presences;
    struct agent_delivery *deliveries;
    struct agent_channel *channels; /* of groups */
    struct agent_group *groups;     /* group.h */

    uint64_t delivered_to;   /* highest position delivered since HELLO */
    uint64_t known_to;       /* highest position that was settled before HELLO */
    uint64_t early_position; /* a frame that came before its session's acceptance */
    uint64_t unacked;        /* items taken in since the last ACK went out */
    uint64_t ack_due_ms;     /* elapsed clock; UINT64_MAX: nothing to acknowledge */
    bool ack_flying;
    bool ack_stuck;        /* refused for good: HELLO starts anew, at ack_due_ms if ever */
    unsigned ack_refusals; /* A2A_RECEIPT in a row */

    bool log_asked;
    bool log_wanted; /* more is said to be there */
    uint64_t log_answers;
    bool prekeys_asked, prekeys_known, prekeys_wanted;
    uint64_t prekeys;
    bool prekeys_void;    /* make new ones … */
    bool prekeys_replace; /* … in the place of all that the broker has */
    bool card_asked, hello_wanted;
    size_t syncing, comparing; /* answers outstanding before UP */
    int64_t sync_after;        /* sessions, then groups, up to here are in the SYNC */
    bool sync_groups;          /* all sessions are */

    unsigned event_failures, request_failures;
    bool look_events, look_requests, look_queue; /* something may be there to send */
    bool look_rotations;
    bool request_waits;   /* a request goes out when the word before it has */
    bool synced;          /* what the broker has is known: nothing was sealed before */
    bool frozen;          /* the profile has been put back: nothing is said */
    bool leaving;         /* LEAVE, when everything before it is said … */
    uint64_t leave_by_ms; /* … or then, on the elapsed clock */
    uint64_t leave_wait_ms;
    uint64_t card_wait_ms; /* it was refused: not before */
    unsigned card_failures;
    uint64_t look_ms; /* next look at requests and events that were refused */
    uint64_t sweep_ms, tidied_ms, log_due_ms; /* elapsed clock */
    uint64_t renew_ms;                        /* no HELLO for a new certificate before */
    uint64_t open_messages;                   /* at least so many are unfinished */
    bool changed;                             /* tell the waiting programs */
    enum err broken; /* the profile cannot be read any more; ERR_OK: it can */

    struct buf scratch;           /* one user at a time */
    bool queued;                  /* this turn queued a message */
    struct agent_news_ring *news; /* news.c */
    struct agent_views *views;    /* buffers behind what info structs borrow: views.c */
};

static inline uint64_t agent_now(const struct agent *agent)
{
    return agent->ports->now_ms(agent->ports->ctx);
}

static inline uint64_t agent_elapsed(const struct agent *agent)
{
    return agent->ports->elapsed_ms(agent->ports->ctx);
}

static inline void agent_random(const struct agent *agent, void *out, size_t len)
{
    agent->ports->random(agent->ports->ctx, out, len);
}

/* Below `below`; good enough for jitter. */
uint64_t agent_jitter(const struct agent *agent, uint64_t below);
/* 1, 2, 4 … 60 s with full jitter, after `failures` ≥ 1 of them. */
uint64_t agent_backoff(const struct agent *agent, unsigned failures);

/* The worker's turn: begin, whatever, leave.  leave commits, sends what may go now, tells programs.
 */
void agent_enter(struct agent *agent);
enum err agent_leave(struct agent *agent);

/* Sends everything that may go: after a commit. */
void agent_send_all(struct agent *agent);

#endif
