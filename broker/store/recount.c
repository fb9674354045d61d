/*
 * recount - every counter against the rows that it counts.
 */
#include <stdlib.h>

#include "broker/store/inside.h"

/* One row each for what differs: a number that says where, what was counted, what was found. */
static const struct {
    const char *what, *sql;
} checks[] = {
    { "stream.frames", "SELECT s.stream_id, s.frames, count(f.position) FROM stream s"
                       " LEFT JOIN frame f ON f.stream_id = s.stream_id GROUP BY 1"
                       " HAVING s.frames <> count(f.position)" },
    { "stream.bytes", "SELECT s.stream_id, s.bytes, coalesce(sum(length(f.frame)), 0) FROM stream s"
                      " LEFT JOIN frame f ON f.stream_id = s.stream_id GROUP BY 1"
                      " HAVING s.bytes <> coalesce(sum(length(f.frame)), 0)" },
    { "stream.control",
      "SELECT s.stream_id, s.control, count(f.position) FILTER (WHERE f.kind >= 16"
      " OR (f.kind = 8 AND f.reason IS NOT NULL)) FROM stream s"
      " LEFT JOIN frame f ON f.stream_id = s.stream_id GROUP BY 1"
      " HAVING s.control <> count(f.position) FILTER (WHERE f.kind >= 16"
      " OR (f.kind = 8 AND f.reason IS NOT NULL))" },
    { "stream.last_position", "SELECT s.stream_id, s.last_position, max(f.position) FROM stream s"
                              " JOIN frame f ON f.stream_id = s.stream_id GROUP BY 1"
                              " HAVING s.last_position < max(f.position)" },
    { "stream.next_expiry_ms",
      "SELECT s.stream_id, s.next_expiry_ms, min(f.expires_ms) FROM stream s"
      " JOIN frame f ON f.stream_id = s.stream_id AND f.frame IS NOT NULL GROUP BY 1"
      " HAVING s.next_expiry_ms > min(f.expires_ms)" },
    { "sender.waiting_bytes",
      "SELECT n.session_id, n.waiting_bytes, coalesce(sum(length(f.frame)), 0) FROM sender n"
      " LEFT JOIN frame f ON f.session_id = n.session_id AND f.sender_id = n.sender_id"
      " AND f.sender_seq IS NOT NULL GROUP BY n.session_id, n.sender_id"
      " HAVING n.waiting_bytes <> coalesce(sum(length(f.frame)), 0)" },
    { "sender.stored_seq",
      "SELECT n.session_id, n.stored_seq - n.settled_seq, count(f.position) FROM sender n"
      " LEFT JOIN frame f ON f.session_id = n.session_id AND f.sender_id = n.sender_id"
      " AND f.sender_seq > n.settled_seq GROUP BY n.session_id, n.sender_id"
      " HAVING n.stored_seq - n.settled_seq <> count(f.position)" },
    { "usage.requests_out",
      "SELECT a.agent_id, coalesce(u.requests_out, 0), count(s.session_id) FROM agent a"
      " LEFT JOIN usage u ON u.agent_id = a.agent_id"
      " LEFT JOIN session s ON s.a_id = a.agent_id AND s.state = 1 GROUP BY 1"
      " HAVING coalesce(u.requests_out, 0) <> count(s.session_id)" },
    { "usage.requests_in",
      "SELECT a.agent_id, coalesce(u.requests_in, 0), count(s.session_id) FROM agent a"
      " LEFT JOIN usage u ON u.agent_id = a.agent_id"
      " LEFT JOIN session s ON s.b_id = a.agent_id AND s.state = 1 GROUP BY 1"
      " HAVING coalesce(u.requests_in, 0) <> count(s.session_id)" },
    { "position_limit",
      "SELECT 0, (SELECT value FROM meta WHERE key = 'position_limit'), max(position) FROM frame"
      " HAVING max(position) > (SELECT value FROM meta WHERE key = 'position_limit')" },
};

enum { CHECK_COUNT = sizeof checks / sizeof checks[0] };

static enum err check(struct store *store, size_t i)
{
    sqlite3_stmt **stmt_at = &store->recounts[i], *stmt;
    enum err e = *stmt_at ? ERR_OK : stmts_prepare(store->db, &checks[i].sql, 1, stmt_at);

    if (e != ERR_OK)
        return e;
    stmt = *stmt_at;
    e = stmt_step(store->db, stmt);
    if (e == ERR_OK) {
        log_event(LOG_ERROR, "recount", "counter=%s of=%lld says=%lld counted=%lld", checks[i].what,
                  (long long)column_int(stmt, 0), (long long)column_int(stmt, 1),
                  (long long)column_int(stmt, 2));
        stmt_end(stmt);
        return ERR_STORE;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err store_recount(struct store *store)
{
    enum err e = db_in_transaction(store->db) ? store_flush(store) : ERR_OK;

    if (!store->recounts)
        store->recounts = mem_zeroed(CHECK_COUNT, sizeof *store->recounts);
    for (size_t i = 0; i < CHECK_COUNT && e == ERR_OK; i++)
        e = check(store, i);
    return e;
}

void recount_close(struct store *store)
{
    if (store->recounts)
        stmts_finalize(store->recounts, CHECK_COUNT);
    free(store->recounts);
    store->recounts = NULL;
}
