#include "agent/store/changes.h"

#include "agent/store/inner.h"

/* Each: state, message, scope, peer, code. */
#define STATEMENTS(X)                                                                              \
    X(OUTGOING, "SELECT iif(o.group_id IS NOT NULL AND o.state = 4 AND o.recipients >"             \
                " (SELECT count(*) FROM signed g WHERE g.outbox_id = o.outbox_id), 3, o.state),"   \
                " o.msg_id, s.id, p.id, NULL FROM outbox o"                                        \
                " LEFT JOIN scope s USING (scope_id) LEFT JOIN peer p USING (peer_id)"             \
                " WHERE o.outbox_id = ?1 AND o.kind <= 1")                                         \
    X(DEAD, "SELECT d.reason, d.msg_id, s.id, p.id, NULL FROM dead d"                              \
            " LEFT JOIN scope s USING (scope_id) LEFT JOIN peer p USING (peer_id)"                 \
            " WHERE d.dead_id = ?1 AND d.incoming = 0 AND d.message IS NOT NULL")                  \
    X(SESSION, "SELECT n.state, NULL, s.id, p.id, NULL FROM session n"                             \
               " LEFT JOIN scope s ON s.scope_id = n.session_id"                                   \
               " LEFT JOIN peer p USING (peer_id) WHERE n.session_id = ?1")                        \
    X(ALARM, "SELECT 0, NULL, s.id, p.id, a.code FROM alarm a"                                     \
             " LEFT JOIN scope s USING (scope_id) LEFT JOIN peer p USING (peer_id)"                \
             " WHERE a.alarm_id = ?1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_changes = { stmt_sql, STMT_COUNT };

static const struct {
    const char *table;
    bool updates; /* else only new rows */
    int statement;
} watched[] = {
    [CHANGED_OUTGOING] = { "outbox", true, STMT_OUTGOING },
    [CHANGED_DEAD] = { "dead", false, STMT_DEAD },
    [CHANGED_SESSION] = { "session", true, STMT_SESSION },
    [CHANGED_ALARM] = { "alarm", false, STMT_ALARM },
};

/* ------------------------------------------------------------------ noting */

static struct in_changed *noted(struct in_changes *changes, size_t back)
{
    return &changes->ring[(changes->first + changes->count - back) % IN_CHANGES_MAX];
}

static void note(struct in_changes *changes, int what, int64_t row)
{
    /* Mostly it is the same row again: sealed, then transmitted. */
    for (size_t back = 1; back <= 4 && back <= changes->count; back++)
        if (noted(changes, back)->what == what && noted(changes, back)->row == row)
            return;
    if (changes->count == IN_CHANGES_MAX)
        changes->first = (changes->first + 1) % IN_CHANGES_MAX;
    else
        changes->count++;
    *noted(changes, 1) = (struct in_changed){ what, row };
}

/* SQLite calls it for every row of the tables that have a rowid. */
static void row_changed(void *ctx, int operation, const char *database, const char *table,
                        sqlite3_int64 row)
{
    (void)database;
    if (operation == SQLITE_DELETE)
        return;
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        if (strcmp(table, watched[i].table) == 0
            && (watched[i].updates || operation == SQLITE_INSERT))
            note(ctx, (int)i, row);
}

void in_changes_watch(struct agent_store *store)
{
    sqlite3_update_hook(db_handle(store->db), row_changed, &store->changes);
}

/* ------------------------------------------------------------------ reading */

static bool describe(struct agent_store *store, struct profile_change *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_CHANGES, watched[out->what].statement);

    bind_int(get, 1, out->row);
    if (!in_row(store, get))
        return false; /* gone again, or nobody's business */
    out->state = (int)column_int(get, 0);
    if (!column_is_null(get, 1))
        column_copy(get, 1, out->msg_id, 16);
    if (!column_is_null(get, 2))
        column_copy(get, 2, out->sid, 16);
    if (!column_is_null(get, 3))
        column_copy(get, 3, out->aid, 32);
    if (!column_is_null(get, 4))
        column_text(get, 4, out->code, sizeof out->code);
    stmt_end(get);
    return true;
}

bool profile_change_next(struct agent_store *store, struct profile_change *out)
{
    struct in_changes *changes = &store->changes;

    while (changes->count > 0) {
        const struct in_changed *oldest = &changes->ring[changes->first];
        *out
            = (struct profile_change){ .what = (enum changed_row)oldest->what, .row = oldest->row };
        changes->first = (changes->first + 1) % IN_CHANGES_MAX;
        changes->count--;
        if (describe(store, out))
            return true;
    }
    return false;
}
