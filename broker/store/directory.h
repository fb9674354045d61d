/*
 * directory - who exists: agents, their cards, their newest certificates.
 *
 * All agents live in memory, too, so looking one up costs no SQL.  A row stays where it is until a
 * rollback or store_close(): keep agent_id over turns, not the pointer.
 */
#ifndef STORE_DIRECTORY_H
#define STORE_DIRECTORY_H
#include "broker/store/store.h"
#include "shared/trust/card.h"

#define CIRCLES_TEXT_SIZE 528 /* eight labels, one space between */

enum agent_state { AGENT_ACTIVE = 1, AGENT_REVOKED = 2 };

struct agent_row {
    int64_t agent_id;
    uint8_t aid[32];
    char name[NAME_MAX_LEN + 1];
    uint8_t identity_key[32];
    const char *circles; /* labels ascending, one space between; lives as long as the row */
    enum agent_state state;
    uint32_t card_gen;
    uint8_t card_hash[32];     /* of the card of that generation … */
    uint8_t transport_key[32]; /* … and its tk */
    uint32_t suites;           /* … and its mask */
    uint64_t enrolled_ms, seen_ms, revoked_ms;
    int64_t mailbox;                    /* its stream */
    uint64_t quota_frames, quota_bytes; /* of its mailbox; 0: as configured */
};

/* Borrowed; NULL if there is none. */
const struct agent_row *store_agent(struct store *store, int64_t agent_id);
const struct agent_row *store_agent_by_aid(struct store *store, const uint8_t aid[static 32]);
/* The active owner of a name. */
const struct agent_row *store_agent_by_name(struct store *store, struct bytes name);
/* The active agent whose newest card names this transport key. */
const struct agent_row *store_agent_by_transport(struct store *store, const uint8_t tk[static 32]);
/* The i-th agent, 0 … store_agent_count() - 1. */
const struct agent_row *store_agent_at(struct store *store, size_t i);
size_t store_agent_count(struct store *store);

/* Do two agents have a circle in common, neither being revoked? */
bool store_agents_share_circle(const struct agent_row *a, const struct agent_row *b);

/* A card as stored.  Bytes are copies inside the row. */
struct card_row {
    uint32_t gen;
    uint8_t hash[32];
    uint8_t transport_key[32];
    uint8_t sig[64];
    uint64_t stored_ms;
    size_t len;
    uint8_t card[CARD_MAX];
};

/* ERR_NOT_FOUND.  `gen` 0: the newest. */
enum err store_card_get(struct store *store, int64_t agent_id, uint32_t gen, struct card_row *out);
/* The one that generation `gen` has replaced; numbers may have been left out. */
enum err store_card_before(struct store *store, int64_t agent_id, uint32_t gen,
                           struct card_row *out);
enum err store_card_by_hash(struct store *store, const uint8_t hash[static 32], int64_t *agent_id,
                            struct card_row *out);

/*
 * Agent, first card, mailbox stream and cursor.  The log entry is store_log_append()'s.  Names and
 * keys must be free: the caller has checked.
 */
struct agent_new {
    struct card card; /* parsed */
    uint8_t aid[32], card_hash[32];
    struct bytes packed;
    const uint8_t *sig;  /* 64 bytes */
    const char *circles; /* labels ascending, one space between */
    uint64_t now_ms;
};
enum err store_agent_add(struct store *store, const struct agent_new *agent, int64_t *agent_id);

/* The next generation of an agent's card.  aid and circles of `card` are not read. */
enum err store_card_add(struct store *store, int64_t agent_id, const struct agent_new *card);

enum err store_agent_revoke(struct store *store, int64_t agent_id, uint64_t now_ms);

/* Written at connect, disconnect and every five minutes between. */
enum err store_agent_seen(struct store *store, int64_t agent_id, uint64_t now_ms);

struct certificate_row {
    uint64_t serial;
    uint8_t card_hash[32];
    uint8_t sig[64];
    uint64_t from_ms, until_ms;
    size_t len;
    uint8_t certificate[256];
};
enum err store_certificate_get(struct store *store, int64_t agent_id, struct certificate_row *out);
enum err store_certificate_put(struct store *store, int64_t agent_id,
                               const struct certificate_row *certificate);
/* The next serial number; never given twice, also over restarts. */
enum err store_serial_next(struct store *store, uint64_t *out);

#endif
