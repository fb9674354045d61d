/*
 * inner - what the files of this folder share: the store's struct, statements that remember the
 * first failure, and sealed columns.  Nobody outside agent/store includes it.
 */
#ifndef AGENT_STORE_INNER_H
#define AGENT_STORE_INNER_H
#include "agent/store/store.h"
#include "shared/db/stmt.h"

enum profile_module {
    IN_META,
    IN_ME,
    IN_SECRETS,
    IN_PEERS,
    IN_ALARMS,
    IN_LOG,
    IN_SCOPES,
    IN_SESSIONS,
    IN_OUTBOX,
    IN_INBOX,
    IN_ACKS,
    IN_DEAD,
    IN_CHANGES,
    IN_GROUPS,
    IN_CHAINS,
    MODULE_COUNT
};

#define IN_CHANGES_MAX 1024

struct in_changed {
    int what; /* enum changed_row */
    int64_t row;
};

/* See agent/store/changes.h. */
struct in_changes {
    struct in_changed ring[IN_CHANGES_MAX];
    size_t first, count;
};

struct agent_store {
    struct db *db; /* owned */
    uint8_t key[AGENT_KEY_SIZE];
    void (*random)(void *ctx, uint8_t *out, size_t len);
    void *random_ctx;
    enum err failure;
    bool shred, untidy;
    struct in_changes changes;
    sqlite3_stmt **stmt[MODULE_COUNT]; /* owned */
    size_t stmt_count[MODULE_COUNT];
};

/* One per file: the statements it prepares. */
struct profile_statements {
    const char *const *sql;
    size_t count;
};
extern const struct profile_statements profile_sql_meta, profile_sql_me, profile_sql_secret,
    profile_sql_peer, profile_sql_alarm, profile_sql_log, profile_sql_scope, profile_sql_session,
    profile_sql_outbox, profile_sql_inbox, profile_sql_ack, profile_sql_dead, profile_sql_changes,
    profile_sql_group, profile_sql_chain;

/* The statement, ready to be bound. */
static inline sqlite3_stmt *in_stmt(struct agent_store *store, enum profile_module module, int n)
{
    return store->stmt[module][n];
}

void in_changes_watch(struct agent_store *store);

/* Runs a statement without rows. */
void in_run(struct agent_store *store, sqlite3_stmt *stmt);
/* The same; did it change a row? */
bool in_change(struct agent_store *store, sqlite3_stmt *stmt);
/* Next row; false at the end and after a failure. */
bool in_row(struct agent_store *store, sqlite3_stmt *stmt);
/* The only row's first number, or `otherwise`. */
int64_t in_number(struct agent_store *store, sqlite3_stmt *stmt, int64_t otherwise);
int64_t in_last_id(struct agent_store *store);
/* The number that the next row of an AUTOINCREMENT table must have: values are sealed to it. */
int64_t in_next_id(struct agent_store *store, const char *table);

void in_seal(struct agent_store *store, struct buf *out, const char *column, int64_t key,
             int64_t version, struct bytes plain);
/* Appends; false and a failure if it does not open. */
bool in_unseal(struct agent_store *store, struct buf *out, const char *column, int64_t key,
               int64_t version, struct bytes sealed);

static inline void buf_set(struct buf *buf, struct bytes from)
{
    buf_clear(buf);
    buf_append(buf, from.at, from.len);
}

#endif
