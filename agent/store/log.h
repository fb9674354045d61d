/*
 * log - my verified copy of the controller's log; with it the directory, which is this list.
 */
#ifndef AGENT_STORE_LOG_H
#define AGENT_STORE_LOG_H
#include "agent/store/store.h"
#include "shared/trust/log_entry.h"

#define CIRCLES_TEXT_MAX 528 /* eight circles of 64 bytes and the spaces */

/* `digest`: of the chain with this entry at its end. */
void profile_log_add(struct agent_store *store, const struct log_entry *entry, const char *circles,
                     const uint8_t digest[static 32]);
/* {0} for an empty copy. */
void profile_log_head(struct agent_store *store, struct log_head *out);
bool profile_log_digest(struct agent_store *store, uint64_t index, uint8_t digest[static 32]);

struct log_row {
    uint64_t index, at_ms;
    enum log_entry_type type;
    uint8_t aid[32], card_hash[32], digest[32];
    char name[NAME_MAX_LEN + 1], circles[CIRCLES_TEXT_MAX];
};
/* The first entry with an index of at least `from`. */
bool profile_log_next(struct agent_store *store, uint64_t from, struct log_row *out);

bool profile_log_revoked(struct agent_store *store, const uint8_t aid[static 32]);
/* Does an ENROL or CARD entry bind the three? */
bool profile_log_bound(struct agent_store *store, const uint8_t aid[static 32], const char *name,
                       const uint8_t card_hash[static 32]);

struct directory_entry {
    uint8_t aid[32];
    char name[NAME_MAX_LEN + 1];
    char circles[CIRCLES_TEXT_MAX];
    bool revoked;
};

/* By agent; by name (the newest that is not revoked, else the newest). */
bool profile_directory_get(struct agent_store *store, const uint8_t aid[static 32],
                           struct directory_entry *out);
bool profile_directory_named(struct agent_store *store, const char *name,
                             struct directory_entry *out);
/* The next one, sorted by name and place in the log; begins with "" and 0. */
bool profile_directory_next(struct agent_store *store, const char *after_name, uint64_t after_idx,
                            struct directory_entry *out, uint64_t *out_idx);
/* Do both stand in a common circle, neither revoked? */
bool profile_circle_shared(struct agent_store *store, const uint8_t a[static 32],
                           const uint8_t b[static 32]);

#endif
