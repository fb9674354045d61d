#include "agent/store/log.h"

#include "agent/store/inner.h"

#define ENTRY                                                                                      \
    "SELECT l.id, l.name, l.circles, l.idx,"                                                       \
    " EXISTS (SELECT 1 FROM log r WHERE r.id = l.id AND r.type = 3) FROM log l WHERE l.type = 1"
#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO log (idx, type, id, card_hash, name, extra, circles, at_ms, digest)"       \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                                         \
    X(HEAD, "SELECT idx, at_ms, digest FROM log ORDER BY idx DESC LIMIT 1")                        \
    X(DIGEST, "SELECT digest FROM log WHERE idx = ?1")                                             \
    X(ROW, "SELECT idx, type, id, card_hash, name, circles, at_ms, digest FROM log WHERE idx >= ?1"  \
           " ORDER BY idx LIMIT 1")                                                                \
    X(REVOKED, "SELECT 1 FROM log WHERE id = ?1 AND type = 3 LIMIT 1")                             \
    X(BOUND, "SELECT 1 FROM log WHERE id = ?1 AND type IN (1, 2) AND name = ?2 AND card_hash = ?3" \
             " LIMIT 1")                                                                           \
    X(BY_ID, ENTRY " AND l.id = ?1 ORDER BY l.idx DESC LIMIT 1")                                   \
    X(BY_NAME, ENTRY " AND l.name = ?1 ORDER BY 5, l.idx DESC LIMIT 1")                            \
    X(NEXT, ENTRY " AND (l.name, l.idx) > (?1, ?2) ORDER BY l.name, l.idx LIMIT 1")                \
    X(EXTRA, "SELECT extra FROM log WHERE id = ?1 AND type = 1 ORDER BY idx LIMIT 1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_log = { stmt_sql, STMT_COUNT };

void profile_log_add(struct agent_store *store, const struct log_entry *entry, const char *circles,
                     const uint8_t digest[static 32])
{
    sqlite3_stmt *add = in_stmt(store, IN_LOG, STMT_ADD);

    bind_u64(add, 1, entry->index);
    bind_int(add, 2, entry->type);
    bind_blob(add, 3, entry->aid, 32);
    bind_blob(add, 4, entry->card_hash, 32);
    bind_text(add, 5, entry->name);
    bind_bytes(add, 6, entry->extra);
    bind_text(add, 7, circles);
    bind_u64(add, 8, entry->ts_ms);
    bind_blob(add, 9, digest, 32);
    in_run(store, add);
}

void profile_log_head(struct agent_store *store, struct log_head *out)
{
    sqlite3_stmt *head = in_stmt(store, IN_LOG, STMT_HEAD);

    *out = (struct log_head){ 0 };
    if (!in_row(store, head))
        return;
    out->next = column_u64(head, 0) + 1;
    out->ts_ms = column_u64(head, 1);
    column_copy(head, 2, out->digest, 32);
    stmt_end(head);
}

bool profile_log_digest(struct agent_store *store, uint64_t index, uint8_t digest[static 32])
{
    sqlite3_stmt *get = in_stmt(store, IN_LOG, STMT_DIGEST);

    bind_u64(get, 1, index);
    if (!in_row(store, get))
        return false;
    column_copy(get, 0, digest, 32);
    stmt_end(get);
    return true;
}

bool profile_log_next(struct agent_store *store, uint64_t from, struct log_row *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_LOG, STMT_ROW);

    bind_u64(get, 1, from);
    if (!in_row(store, get))
        return false;
    out->index = column_u64(get, 0);
    out->type = (enum log_entry_type)column_int(get, 1);
    column_copy(get, 2, out->aid, 32);
    column_copy(get, 3, out->card_hash, 32);
    column_text(get, 4, out->name, sizeof out->name);
    column_text(get, 5, out->circles, sizeof out->circles);
    out->at_ms = column_u64(get, 6);
    column_copy(get, 7, out->digest, 32);
    stmt_end(get);
    return true;
}

bool profile_log_revoked(struct agent_store *store, const uint8_t aid[static 32])
{
    sqlite3_stmt *revoked = in_stmt(store, IN_LOG, STMT_REVOKED);

    bind_blob(revoked, 1, aid, 32);
    return in_number(store, revoked, 0) != 0;
}

bool profile_log_bound(struct agent_store *store, const uint8_t aid[static 32], const char *name,
                       const uint8_t card_hash[static 32])
{
    sqlite3_stmt *bound = in_stmt(store, IN_LOG, STMT_BOUND);

    bind_blob(bound, 1, aid, 32);
    bind_text(bound, 2, name);
    bind_blob(bound, 3, card_hash, 32);
    return in_number(store, bound, 0) != 0;
}

static bool take_entry(struct agent_store *store, sqlite3_stmt *get, struct directory_entry *out,
                       uint64_t *out_idx)
{
    if (!in_row(store, get))
        return false;
    column_copy(get, 0, out->aid, 32);
    column_text(get, 1, out->name, sizeof out->name);
    column_text(get, 2, out->circles, sizeof out->circles);
    if (out_idx)
        *out_idx = column_u64(get, 3);
    out->revoked = column_int(get, 4) != 0;
    stmt_end(get);
    return true;
}

bool profile_directory_get(struct agent_store *store, const uint8_t aid[static 32],
                           struct directory_entry *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_LOG, STMT_BY_ID);

    bind_blob(get, 1, aid, 32);
    return take_entry(store, get, out, NULL);
}

bool profile_directory_named(struct agent_store *store, const char *name,
                             struct directory_entry *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_LOG, STMT_BY_NAME);

    bind_text(get, 1, name);
    return take_entry(store, get, out, NULL);
}

bool profile_directory_next(struct agent_store *store, const char *after_name, uint64_t after_idx,
                            struct directory_entry *out, uint64_t *out_idx)
{
    sqlite3_stmt *next = in_stmt(store, IN_LOG, STMT_NEXT);

    bind_text(next, 1, after_name);
    bind_u64(next, 2, after_idx);
    return take_entry(store, next, out, out_idx);
}

/* Copies the extra of the agent's ENROL entry; false if there is none. */
static bool enrolment_extra(struct agent_store *store, const uint8_t aid[static 32],
                            struct buf *out)
{
    sqlite3_stmt *extra = in_stmt(store, IN_LOG, STMT_EXTRA);

    bind_blob(extra, 1, aid, 32);
    if (!in_row(store, extra))
        return false;
    buf_set(out, column_bytes(extra, 0));
    stmt_end(extra);
    return true;
}

bool profile_circle_shared(struct agent_store *store, const uint8_t a[static 32],
                           const uint8_t b[static 32])
{
    struct buf of_a = { 0 }, of_b = { 0 };
    struct circles circles_a, circles_b;
    bool shared = !profile_log_revoked(store, a) && !profile_log_revoked(store, b)
                  && enrolment_extra(store, a, &of_a) && enrolment_extra(store, b, &of_b)
                  && circles_parse(buf_bytes(&of_a), &circles_a) == ERR_OK
                  && circles_parse(buf_bytes(&of_b), &circles_b) == ERR_OK
                  && circles_share(&circles_a, &circles_b);

    buf_free(&of_a);
    buf_free(&of_b);
    return shared;
}
