/*
 * agent - one agent: its keys, its mail, its link to the broker.  Without sockets, threads or
 * clocks.
 *
 * Whoever drives it (the worker thread, or a test's world) opens the store, supplies the ports,
 * feeds what arrives and calls agent_tick() in time.  Each call is one transaction of the store:
 * when it returns, what it did is on the disk.
 *
 * Owns     the store and every secret in it, until agent_free().
 * Thread   one.
 * Views    strings and bytes in info structs are borrowed until the callback returns, or until the
 *          next call for those filled through `out`.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H
#include <stdbool.h>

#include "agent/flow/ports.h"
#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/base/text.h"

struct agent;
struct agent_store;
struct invite; /* shared/trust/invite.h */

enum agent_consent { CONSENT_ASK, CONSENT_CIRCLE, CONSENT_ANY };
enum agent_cipher { CIPHER_AUTO, CIPHER_CHACHA20, CIPHER_AES256 };

struct agent_settings {
    char endpoint[300]; /* "tcp://HOST:PORT"; empty: as joined */
    enum agent_consent consent;
    bool trust_verified;     /* talk only with verified peers */
    char accept_names[1025]; /* globs separated by spaces: accepted at once */
    char send_to[1025];      /* globs separated by spaces: who may be written to; empty: anybody */
    enum agent_cipher cipher;
    uint64_t ttl_ms; /* life of a message, default 7 d */
    uint64_t inbox_keep_ms, sent_keep_ms, dead_keep_ms;
    char description[257]; /* published in the card's info */
    char methods[513];     /* separated by spaces */
    char schedule[129];
};

void agent_settings_default(struct agent_settings *out);

/* ------------------------------------------------------------------ life */

/*
 * Fills an empty store with a new identity: keys, card, the invite.  The same invite and name again
 * on a store that is half joined is a success with the same keys.
 */
enum err agent_identity_make(struct agent_store *store, const struct agent_ports *ports,
                             const struct agent_settings *settings, struct bytes name,
                             const struct invite *invite);

/* Takes `*store`.  Borrows `ports`. */
enum err agent_new(struct agent **out, struct agent_store **store, const struct agent_ports *ports,
                   const struct agent_settings *settings);
/* Wipes; closes the store; accepts NULL. */
void agent_free(struct agent **agent);
void agent_configure(struct agent *agent, const struct agent_settings *settings);

/* The link: wanted from agent_go_online() on; agent_go_offline() says BYE and lets go. */
void agent_go_online(struct agent *agent);
void agent_go_offline(struct agent *agent);
/* A program waits for the broker: a back-off (of DOWN, or REFUSED unless revoked) ends now, and
 * `failures` counts anew.  No effect while connecting or connected. */
void agent_link_hurry(struct agent *agent);

/* Events of the connection that ports->connect made. */
void agent_connected(struct agent *agent);
void agent_disconnected(struct agent *agent, enum link_loss why);
void agent_received(struct agent *agent, struct bytes head, const struct bytes *parts,
                    size_t count);

/* The error that keeps this agent from reading its own profile, ERR_OK if none.  From then on
 * nothing that it says about itself is true: end what runs, and agent_free(). */
enum err agent_condition(const struct agent *agent);

void agent_tick(struct agent *agent);
/* When agent_tick() wants to be called next, on the elapsed clock; UINT64_MAX: never. */
uint64_t agent_next_tick_ms(const struct agent *agent);

enum link_state {
    STATE_DOWN,
    STATE_CONNECTING,
    STATE_GREETING,
    STATE_SYNCING,
    STATE_UP,
    STATE_REFUSED
};

struct agent_link {
    enum link_state state;
    enum err refusal;  /* why REFUSED, or the last attempt's failure; ERR_OK: none */
    unsigned failures; /* attempts in a row that found nobody (refused connections) */
    bool reached;      /* the broker answered at least once since agent_new() */
    bool caught_up;    /* UP, log read, everything that waited at HELLO is taken in */
    bool pending_approval;
    int64_t clock_skew_ms; /* broker's clock minus ours, at the last answer that told */
    bool clock_skew_known;
    uint64_t rtt_ms; /* of the last PING or HELLO */
    bool rtt_known;
    uint64_t retry_after_ms; /* what the broker asked for with the refusal */
    uint64_t pongs;          /* PINGs answered on this connection */
};

void agent_link_get(const struct agent *agent, struct agent_link *out);
/* One question and answer now; `pongs` of the link counts the answers.  No effect but UP. */
void agent_ping(struct agent *agent);

/* The broker's word on how much can be sent at once etc. is obeyed inside. */

/* ------------------------------------------------------------------ me */

enum self_state { SELF_PENDING, SELF_ACTIVE, SELF_REVOKED };

struct card_info {
    uint64_t gen, created_ms, suites;
    struct bytes description, methods, schedule;
};

struct agent_self {
    struct bytes name;
    uint8_t aid[32], root_id[32];
    struct bytes endpoint;    /* tcp://HOST:PORT in use */
    struct bytes broker_name; /* empty: not told yet */
    struct bytes circles;     /* one space between; from the log */
    enum self_state state;
    uint64_t certificate_expires_ms; /* 0: none yet */
    struct card_info card;
    uint64_t log_entries;
    uint64_t prekeys; /* at the broker, as last told */
    bool prekeys_known;
};

enum err agent_self_get(struct agent *agent, struct agent_self *out);

/* ------------------------------------------------------------------ others */

enum peer_trust {
    TRUST_NEW,
    TRUST_PINNED,
    TRUST_VERIFIED,
    TRUST_CHANGED,
    TRUST_BLOCKED,
    TRUST_REVOKED
};

struct peer_info {
    struct bytes name;
    uint8_t aid[32];
    struct bytes circles;
    enum peer_trust trust;
    bool presence_known, online;
    uint64_t seen_ms; /* 0: not known */
    bool has_session;
    uint8_t session[16];
    uint64_t unread, outgoing;
    bool has_card;
    struct card_info card;
    uint64_t certificate_expires_ms; /* 0: not known */
};

/* By name or id:FINGERPRINT, from pins and the local log.  ERR_UNKNOWN_AGENT, ERR_KEY_CHANGED,
 * ERR_BLOCKED. */
enum err agent_peer_find(struct agent *agent, const char *peer, uint8_t aid[static 32]);
enum err agent_peer_get(struct agent *agent, const uint8_t aid[static 32], struct peer_info *out);
/* All but myself, sorted by name. */
enum err agent_peers_each(struct agent *agent,
                          void (*each)(void *ctx, const struct peer_info *peer), void *ctx);
/* Asks the broker (LOOKUP without reservation); peer_info carries the answer after `changed`.
 * agent_presence_pending() tells how many answers are still out. */
void agent_presence_ask(struct agent *agent, const uint8_t aid[static 32]);
unsigned agent_presence_pending(const struct agent *agent);

/* ------------------------------------------------------------------ trust */

/* What stands under a name or id:FINGERPRINT, whatever its trust: for verify and for people. */
struct peer_names {
    uint8_t aid[32];     /* pinned, else the one the log binds */
    bool replaced;       /* another aid stands under the pinned name: */
    uint8_t new_aid[32]; /* this one */
};
/* ERR_UNKNOWN_AGENT. */
enum err agent_peer_names(struct agent *agent, const char *peer, struct peer_names *out);

/*
 * A person has compared: `print` is the fingerprint (first 20 bytes of the aid) that `peer` told
 * over another channel.  ERR_UNKNOWN_AGENT; ERR_AUTH: it is another's, nothing was changed;
 * ERR_KEY_CHANGED: it is the new one's, which only `replace` takes (the old pin ends; its sessions
 * were closed, and what was queued refused, when the key changed), or the old one's while the log
 * names the new.  ERR_BLOCKED: agent_accept() unblocks, this does not.  What was held only for want
 * of it is judged anew.
 */
enum err agent_verify(struct agent *agent, const char *peer, const uint8_t print[static 20],
                      bool replace, uint8_t aid[static 32]);

enum log_kind { LOG_ENROLLED = 1, LOG_CARD, LOG_REVOKED };

struct log_info {
    uint64_t index, at_ms;
    enum log_kind kind;
    struct bytes name, circles; /* circles: one space between */
    uint8_t aid[32], head[32];
    uint64_t gen; /* 0: not known */
};
/* The verified copy, ascending, from index `from` on. */
enum err agent_log_each(struct agent *agent, uint64_t from,
                        void (*each)(void *ctx, const struct log_info *entry), void *ctx);

/* A person has dealt with the alarms of this code.  ERR_NOT_FOUND: none is open. */
enum err agent_alarm_clear(struct agent *agent, const char *code);

/* ------------------------------------------------------------------ consent */

/* A request that waits for an answer, of either direction. */
struct request_info {
    bool incoming, live;
    bool group;         /* an invitation into a group; `session` is its id, aid the inviter … */
    struct bytes title; /* … and this its name */
    uint8_t session[16], aid[32];
    struct bytes peer, circles, media_type, body; /* body: a stranger's words */
    enum peer_trust trust;
    uint64_t made_ms, expires_ms;
};
enum err agent_requests_each(struct agent *agent,
                             void (*each)(void *ctx, const struct request_info *request),
                             void *ctx);

/*
 * Asks for contact with an introduction (which may be empty).  The session comes about when the
 * broker has answered; `id` is the introduction's, and agent_session_of() follows it.  With nothing
 * to say, and a session (or a request that waits) there already, nothing is queued, and `id` is
 * that session's (or that message's).  A live request is always a new one, and held by the peer
 * until somebody there accepts, whatever he accepted before, but for accept_names.
 * Errors as agent_send().
 */
struct contact_request {
    uint8_t to[32];
    struct bytes body;
    bool live;         /* a session of its own, idle after 30 min, answer needed within 300 s */
    const uint8_t *id; /* 16 bytes, new; NULL: drawn here */
};
enum err agent_request(struct agent *agent, const struct contact_request *request,
                       uint8_t id[static 16]);

/* ERR_KEY_CHANGED, ERR_NOT_VERIFIED, ERR_UNKNOWN_AGENT, ERR_CERT_REVOKED (the peer is),
 * ERR_FORBIDDEN (myself).
 * `answered`: a request was held and is a session now (`sid`; of several, a live one); else the
 * consent is written down for later.  Unblocks. */
enum err agent_accept(struct agent *agent, const uint8_t aid[static 32], bool *answered,
                      uint8_t sid[static 16]);
/* ERR_NOT_FOUND: no request is held (with `block` that is no error).  With `block` nothing is told
 * to the sender, now and later. */
enum err agent_reject(struct agent *agent, const uint8_t aid[static 32], bool block, bool *answered,
                      uint8_t sid[static 16]);

/* ------------------------------------------------------------------ sessions */

enum session_phase {
    PHASE_ASKED = 1,
    PHASE_WAS_ASKED,
    PHASE_ACTIVE,
    PHASE_CLOSED,
    PHASE_REJECTED,
    PHASE_EXPIRED,
    PHASE_ROTATED,
    PHASE_BROKEN
};

struct session_info {
    uint8_t id[16], aid[32];
    struct bytes peer;
    enum session_phase phase;
    bool live;
    uint8_t suite;
    uint64_t sent_seq, received_seq, skipped_keys;
    uint64_t opened_ms, last_ms, expires_ms; /* 0: not yet, never */
    const char *reason;                      /* of an ended one; NULL: none */
};
/* Of one peer (NULL: all); `all`: ended ones too. */
enum err agent_sessions_each(struct agent *agent, const uint8_t *aid, bool all,
                             void (*each)(void *ctx, const struct session_info *session),
                             void *ctx);
/* ERR_NOT_FOUND */
enum err agent_session_get(struct agent *agent, const uint8_t sid[static 16],
                           struct session_info *out);
/* The session of the introduction or message `id`, or with this id.  ERR_NOT_FOUND: not yet sealed
 * into one. */
enum err agent_session_of(struct agent *agent, const uint8_t id[static 16],
                          struct session_info *out);

/* Ends the sessions with a peer (`sid`: only that one), signed; our keys are wiped when it returns.
 * ERR_STATE: messages to it are not final, and `even_undelivered` is false.  ERR_NOT_FOUND. */
enum err agent_close(struct agent *agent, const uint8_t aid[static 32], const uint8_t *sid,
                     bool even_undelivered);

/*
 * A fresh handshake in the place of the active mailbox session with the peer, whose id becomes
 * `sid`: it is asked for when the broker is there, agreed when the peer is, and until then the old
 * one goes on.  By itself after 7 days or 10,000 frames.  ERR_NOT_FOUND: there is no such session;
 * ERR_ROLLBACK; errors as agent_send().
 */
enum err agent_rotate(struct agent *agent, const uint8_t aid[static 32], uint8_t sid[static 16]);
/* The newest session that was to take the place of this one.  ERR_NOT_FOUND: none yet. */
enum err agent_session_successor(struct agent *agent, const uint8_t sid[static 16],
                                 struct session_info *out);
/*
 * The same for all sessions.  While the alarm profile_restored is open a person says with this that
 * there is no newer copy of the profile: all it has ends, its peers are asked for new sessions, the
 * broker gets new prekeys, and the link begins anew.
 */
enum err agent_rotate_all(struct agent *agent);
/* New dk, tk and prekeys under the same identity: card gen + 1.  The broker is told when it is
 * there.  ERR_STATE: not enrolled yet; ERR_FORBIDDEN: revoked; ERR_ROLLBACK. */
enum err agent_rotate_keys(struct agent *agent);

/*
 * Ends this agent at its controller, for good: its sessions end at once, what is queued is dead,
 * LEAVE goes out when the broker is there; agent_self_get() says SELF_REVOKED when it has agreed.
 * ERR_STATE: not enrolled yet; ERR_ROLLBACK.
 */
enum err agent_leave_broker(struct agent *agent);

/* ------------------------------------------------------------------ groups */

enum group_stage {
    IN_GROUP_INVITED = 1,
    IN_GROUP_JOINED,
    IN_GROUP_LEFT,
    IN_GROUP_CLOSED,
    IN_GROUP_FORKED
};

struct group_info {
    uint8_t id[16];
    struct bytes name, purpose; /* name: without "+"; what this agent calls it */
    enum group_stage stage;
    uint8_t role; /* enum group_role; of an invitation: what it offers */
    bool strict, all_invite;
    bool stale;  /* somebody left, no new epoch yet */
    bool keyed;  /* I have the key of the current epoch */
    bool silent; /* no word of an admin for too long: I do not send */
    uint32_t epoch, max_members;
    size_t members, invited; /* who has joined, me included; who is invited */
    uint8_t head[32];
    uint8_t inviter[32];       /* of an invitation; else the owner */
    uint64_t invited_until_ms; /* 0: not an invitation */
    uint64_t changed_ms;       /* time of the newest event */
    /* What I want and the broker has not confirmed yet. */
    size_t pending;      /* my events */
    size_t keys_waiting; /* members for whom the epoch's key is not with the broker yet, but … */
    size_t keys_unanswered; /* … members whose key waits until they have accepted contact */
    enum err refusal;       /* why the last thing I wanted did not come about; ERR_OK: it did */
};

struct group_member_info {
    uint8_t aid[32];
    struct bytes name; /* from pin or log; empty: neither knows it */
    uint8_t role;
    bool joined, me;
};

/* All, by name; `ended`: those left, closed or forked, too. */
enum err agent_groups_each(struct agent *agent, bool ended,
                           void (*each)(void *ctx, const struct group_info *group), void *ctx);
/* By name (without "+") or by at least 4 hex digits of the id.  ERR_NOT_FOUND. */
enum err agent_group_find(struct agent *agent, const char *name, uint8_t gid[static 16]);
enum err agent_group_get(struct agent *agent, const uint8_t gid[static 16], struct group_info *out);
/* Members and invited ones, owner first, then by name. */
enum err agent_group_members_each(struct agent *agent, const uint8_t gid[static 16],
                                  void (*each)(void *ctx, const struct group_member_info *member),
                                  void *ctx);

/*
 * What changes a group: signed here and kept, and told to the broker when it is there; until then
 * group_info.pending counts it.  If somebody was faster it is made anew behind his event, or
 * given up if it is not possible any more (group_info.refusal).
 * All: ERR_NOT_FOUND (no such group), ERR_NOT_MEMBER (not or no longer in it), ERR_FORBIDDEN (not
 * the role for it), ERR_STATE (closed, forked, or not possible now), ERR_ROLLBACK.
 */
struct group_create {
    struct bytes name, purpose; /* 1 to 64 bytes of agent names' alphabet; at most 1,024 */
    bool strict, all_invite;
    const uint8_t (*invite)[32]; /* members to be */
    size_t invite_count;
};
/* ERR_EXISTS: a group of that name; ERR_QUOTA; of those to be invited: as agent_group_invite(), and
 * nothing was done. */
enum err agent_group_create(struct agent *agent, const struct group_create *create,
                            uint8_t gid[static 16]);
/* ERR_EXISTS: member or invited already; ERR_QUOTA: full; ERR_UNKNOWN_AGENT; ERR_KEY_CHANGED,
 * ERR_NOT_VERIFIED, ERR_BLOCKED, ERR_CERT_REVOKED. */
enum err agent_group_invite(struct agent *agent, const uint8_t gid[static 16],
                            const uint8_t aid[static 32], uint8_t role);
/* What the two would say of this one, and nothing is done.  `gid` NULL: of a group to be made. */
enum err agent_group_may_invite(struct agent *agent, const uint8_t *gid,
                                const uint8_t aid[static 32]);
enum err agent_group_may_remove(struct agent *agent, const uint8_t gid[static 16],
                                const uint8_t aid[static 32]);
/* Members and invited ones, with one new epoch behind them.  ERR_UNKNOWN_AGENT: not in the group;
 * nothing was done. */
enum err agent_group_remove(struct agent *agent, const uint8_t gid[static 16],
                            const uint8_t (*aids)[32], size_t count);
/* ROLE_OWNER hands the group over. */
enum err agent_group_role(struct agent *agent, const uint8_t gid[static 16],
                          const uint8_t aid[static 32], uint8_t role);
enum err agent_group_rekey(struct agent *agent, const uint8_t gid[static 16]);
/* Chains are wiped and what is queued becomes dead letters at once.  ERR_FORBIDDEN: the owner. */
enum err agent_group_leave(struct agent *agent, const uint8_t gid[static 16]);
enum err agent_group_end(struct agent *agent, const uint8_t gid[static 16]);
/* The answer to an invitation.  `as`: what to call it here; NULL: by its own name, or NAME-2 ….
 * ERR_NOT_FOUND: no invitation; ERR_EXISTS: `as` is taken; ERR_EXPIRED. */
enum err agent_group_join(struct agent *agent, const uint8_t gid[static 16], const char *as);
enum err agent_group_decline(struct agent *agent, const uint8_t gid[static 16]);

/* ------------------------------------------------------------------ what happened */

enum news_kind {
    NEWS_MESSAGE, /* id, aid, outgoing: it is in that state now */
    NEWS_REQUEST, /* sid, aid: a request is held now, or an invitation: group, inviter */
    NEWS_SESSION, /* sid, aid: it has another phase */
    NEWS_ALARM,   /* aid (zeros: none), text: its code */
    NEWS_LINK     /* up; text: why it is down */
};

/* Only while the process runs: the last 1,024, numbered from 1. */
struct agent_news {
    uint64_t number, at_ms;
    enum news_kind kind;
    uint8_t id[16], sid[16], aid[32];
    unsigned outgoing; /* enum outgoing_state */
    bool up;
    char text[128];
};
/* The first with a number above `after`.  False: none yet. */
bool agent_news_next(const struct agent *agent, uint64_t after, struct agent_news *out);

/* ------------------------------------------------------------------ mail out */

enum outgoing_state {
    OUT_QUEUED,
    OUT_STORED,
    OUT_DELIVERED,
    OUT_EXPIRED,
    OUT_REFUSED,
    OUT_DROPPED
};
enum outgoing_waits {
    WAITS_FOR_NOTHING,
    WAITS_FOR_BROKER,
    WAITS_FOR_APPROVAL,
    WAITS_FOR_CONSENT,
    WAITS_FOR_RECIPIENT,
    WAITS_FOR_EPOCH /* a group's key */
};

struct outgoing_info {
    uint8_t id[16], thread[16], reply_to[16], to_aid[32];
    bool has_reply_to;
    bool has_group;
    uint8_t group[16];               /* to_aid is zeroes then */
    struct bytes to;                 /* name, of a group without "+" */
    size_t recipients, delivered_to; /* 1 and 0 or 1; of a group: its other members when it was
                                        sealed, and those that have signed for it */
    enum outgoing_state state;
    enum outgoing_waits waits_for;
    const char *reason;      /* of expired and refused; NULL else.  Words of cli 3.3 */
    enum err wire;           /* last refusal of the broker, ERR_OK: none */
    uint64_t retry_after_ms; /* what came with it */
    struct bytes media_type, body;
    uint64_t attempts, next_try_ms;
    uint64_t queued_ms, stored_ms, delivered_ms, expires_ms; /* 0: not yet */
    uint64_t ended_ms;                                       /* of expired and refused */
    bool has_session;
    uint8_t session[16], digest[32];
    uint64_t seq;
};

struct send_request {
    uint8_t to[32];
    const uint8_t *group; /* NULL: to an agent; else its 16 bytes, and `to` is not looked at */
    struct bytes body, media_type;
    bool has_reply_to;
    uint8_t reply_to[16];
    bool has_id;            /* the caller's own 16 random bytes, so that it can ask again after a */
    uint8_t id[16];         /* crash: a message of this id that exists is a success, nothing new */
    const uint8_t *session; /* NULL: the peer's session; else this live one, and no other */
};

/* Committed when it returns.  ERR_SESSION_NOT_FOUND, ERR_STATE (of `session`: not live with this
 * peer, or over), ERR_TOO_LARGE, ERR_QUOTA (outbox full), ERR_KEY_CHANGED, ERR_BLOCKED,
 * ERR_UNKNOWN_AGENT, ERR_CERT_REVOKED (recipient).  Groups: ERR_NOT_FOUND, ERR_NOT_MEMBER,
 * ERR_STATE (closed), ERR_GROUP_FORK; without key, or while no admin was heard, it waits
 * (WAITS_FOR_EPOCH). */
enum err agent_send(struct agent *agent, const struct send_request *request, uint8_t id[static 16]);
/* ERR_NOT_FOUND */
enum err agent_outgoing_get(struct agent *agent, const uint8_t id[static 16],
                            struct outgoing_info *out);
/* Who has signed for a group message, and when, by name. */
struct signed_info {
    uint8_t aid[32];
    struct bytes name;
    uint64_t at_ms; /* 0: has not signed */
};
enum err agent_signed_each(struct agent *agent, const uint8_t id[static 16],
                           void (*each)(void *ctx, const struct signed_info *info), void *ctx);
/* Not yet final ones, oldest first. */
enum err agent_outbox_each(struct agent *agent,
                           void (*each)(void *ctx, const struct outgoing_info *info), void *ctx);

/* ------------------------------------------------------------------ mail in */

enum incoming_state { IN_HELD, IN_NEW, IN_HANDED, IN_DONE, IN_FAILED };

struct incoming_info {
    uint8_t id[16], thread[16], reply_to[16], from_aid[32], session[16], digest[32];
    bool has_reply_to;
    struct bytes from; /* name at the time of receipt */
    bool has_group;
    uint8_t group[16];       /* `session` is the same then */
    struct bytes group_name; /* without "+" */
    enum peer_trust trust;
    bool first_contact;
    uint64_t sent_ms, stored_ms, received_ms, expires_ms;
    enum incoming_state state;
    bool again; /* was handed out before */
    struct bytes media_type, body;
    uint64_t seq, position, schema, tries;
    bool wake;
};

struct incoming_filter {
    bool unread, done;         /* which states: new and handed; done and failed */
    const uint8_t (*from)[32]; /* NULL: anybody */
    size_t from_count;
    const uint8_t (*groups)[16]; /* with either of the two set: of these agents outside groups, or
                                    of these groups */
    size_t group_count;
    const uint8_t *reply_to;  /* only answers to this message; NULL: any */
    const uint8_t *session;   /* only this session's; NULL: all but those of live ones that go on */
    const uint8_t (*but)[16]; /* without `session`: and not those of these either */
    size_t but_count;
    uint64_t newest; /* 0: all; else only the newest so many */
};

/* Oldest first; with bodies. */
enum err agent_inbox_each(struct agent *agent, const struct incoming_filter *filter,
                          void (*each)(void *ctx, const struct incoming_info *info), void *ctx);
enum err agent_incoming_get(struct agent *agent, const uint8_t id[static 16],
                            struct incoming_info *out);
/* The oldest unread one that fits the filter and is not among the `skip` ids; notes it as handed.
 * ERR_NOT_FOUND: none. */
enum err agent_take(struct agent *agent, const struct incoming_filter *filter,
                    const uint8_t (*skip)[16], size_t skip_count, struct incoming_info *out);
/* done, or new again.  ERR_NOT_FOUND. */
enum err agent_settle(struct agent *agent, const uint8_t id[static 16], enum incoming_state state);

/* Which messages (either way) have an id that begins with these hex digits (at least 4). */
enum err agent_find(struct agent *agent, const char *prefix, uint8_t id[static 16], bool *incoming,
                    size_t *matches);
/* All messages of a thread, oldest first: `out` or `in` is set, the other NULL. */
enum err agent_thread_each(struct agent *agent, const uint8_t thread[static 16],
                           void (*each)(void *ctx, const struct outgoing_info *out,
                                        const struct incoming_info *in),
                           void *ctx);

/* ------------------------------------------------------------------ the store */

struct agent_checked {
    uint64_t values; /* sealed ones that open */
    char why[160];   /* what is wrong; empty: nothing */
};

/* Reads everything once.  ERR_CORRUPT: `why` names the first thing that is wrong.  ERR_STORE. */
enum err agent_check_store(struct agent *agent, struct agent_checked *out);

/* ------------------------------------------------------------------ counts and alarms */

struct agent_counts {
    uint64_t unread, held, queued, stored, dead, sessions;
    uint64_t oldest_ms; /* creation of the oldest unfinished outgoing message; 0: none */
};

enum err agent_counts_get(struct agent *agent, struct agent_counts *out);

/* Problems that a person must see: code of cli 3.2 (key_changed, gap, profile_restored …). */
struct alarm_info {
    struct bytes code, detail, peer;
    uint64_t at_ms;
};
enum err agent_alarms_each(struct agent *agent,
                           void (*each)(void *ctx, const struct alarm_info *alarm), void *ctx);

#endif
