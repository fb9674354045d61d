#include "agent/store/alarms.h"

#include "agent/store/inner.h"
#include "shared/base/log.h"

#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO alarm (at_ms, code, peer_id, scope_id, detail) SELECT ?1, ?2, ?3, ?4, ?5"  \
           " WHERE NOT EXISTS (SELECT 1 FROM alarm WHERE code = ?2 AND peer_id IS ?3"              \
           " AND detail = ?5 AND cleared_ms IS NULL)")                                             \
    X(LIST, "SELECT a.at_ms, a.code, a.detail, p.name FROM alarm a"                                \
            " LEFT JOIN peer p ON p.peer_id = a.peer_id"                                           \
            " WHERE a.cleared_ms IS NULL ORDER BY a.alarm_id LIMIT ?1")                            \
    X(IS_OPEN, "SELECT 1 FROM alarm WHERE code = ?1 AND cleared_ms IS NULL LIMIT 1")               \
    X(CLEAR, "UPDATE alarm SET cleared_ms = ?2 WHERE code = ?1 AND cleared_ms IS NULL"             \
             " AND (?3 IS NULL OR peer_id = ?3)")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_alarm = { stmt_sql, STMT_COUNT };

void profile_alarm_add(struct agent_store *store, const char *code, int64_t peer_id,
                       int64_t scope_id, const char *detail, uint64_t now_ms)
{
    sqlite3_stmt *add = in_stmt(store, IN_ALARMS, STMT_ADD);

    bind_u64(add, 1, now_ms);
    bind_text(add, 2, code);
    bind_int_or_null(add, 3, peer_id);
    bind_int_or_null(add, 4, scope_id);
    bind_text(add, 5, detail);
    if (in_change(store, add))
        log_event(LOG_WARN, "alarm", "code=%s detail=%s", code, log_value(detail));
}

size_t profile_alarms(struct agent_store *store, struct profile_alarm *out, size_t max)
{
    sqlite3_stmt *list = in_stmt(store, IN_ALARMS, STMT_LIST);
    size_t count = 0;

    bind_int(list, 1, (int64_t)max);
    while (in_row(store, list)) {
        struct profile_alarm *alarm = &out[count++];
        alarm->at_ms = column_u64(list, 0);
        column_text(list, 1, alarm->code, sizeof alarm->code);
        column_text(list, 2, alarm->detail, sizeof alarm->detail);
        column_text(list, 3, alarm->peer, sizeof alarm->peer);
    }
    return count;
}

bool profile_alarm_open(struct agent_store *store, const char *code)
{
    sqlite3_stmt *open = in_stmt(store, IN_ALARMS, STMT_IS_OPEN);

    bind_text(open, 1, code);
    return in_number(store, open, 0) != 0;
}

bool profile_alarm_clear(struct agent_store *store, const char *code, int64_t peer_id,
                         uint64_t now_ms)
{
    sqlite3_stmt *clear = in_stmt(store, IN_ALARMS, STMT_CLEAR);

    bind_text(clear, 1, code);
    bind_u64(clear, 2, now_ms);
    bind_int_or_null(clear, 3, peer_id);
    return in_change(store, clear);
}
