#include "agent/store/groups.h"

#include "agent/store/inner.h"

#define GROUP_COLUMNS                                                                              \
    "SELECT g.group_id, s.id, g.state, g.role, g.epoch, g.stale, g.heard_ms, g.version"            \
    " FROM grp g JOIN scope s ON s.scope_id = g.group_id"
#define JOB_COLUMNS "SELECT job_id, group_id, epoch, state, next_peer FROM epoch_job"
/* The key waits for a session, its peer was asked for one, and the broker has the question. */
#define UNANSWERED                                                                                 \
    "(o.state = 1 AND EXISTS (SELECT 1 FROM session s JOIN outbox r"                               \
    " ON r.scope_id = s.session_id AND r.seq = 1"                                                  \
    " WHERE s.peer_id = o.peer_id AND s.state = 1 AND s.mode = 1 AND r.state >= 3)"                \
    " AND NOT EXISTS (SELECT 1 FROM session s"                                                     \
    " WHERE s.peer_id = o.peer_id AND s.state = 3 AND s.mode = 1))"

#define STATEMENTS(X)                                                                              \
    X(SCOPE_ADD, "INSERT INTO scope (id, kind) VALUES (?1, 2)")                                    \
    X(ADD, "INSERT INTO grp (group_id, state, role, epoch, stale, heard_ms)"                       \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                                     \
    X(GET, GROUP_COLUMNS " WHERE g.group_id = ?1")                                                 \
    X(NEXT, GROUP_COLUMNS " WHERE g.group_id > ?1 ORDER BY g.group_id LIMIT 1")                    \
    X(SET, "UPDATE grp SET state = ?2, role = ?3, epoch = ?4, stale = ?5, heard_ms = ?6"           \
           " WHERE group_id = ?1")                                                                 \
    X(TITLE_SET, "UPDATE grp SET title = ?2, version = ?3 WHERE group_id = ?1 AND version = ?4")   \
    X(TITLE, "SELECT title, version FROM grp WHERE group_id = ?1 AND title IS NOT NULL")           \
    X(VERSION, "SELECT version FROM grp WHERE group_id = ?1")                                      \
    X(EVENTS_REMOVE, "DELETE FROM event WHERE scope_id = ?1")                                      \
    X(REMOVE, "DELETE FROM grp WHERE group_id = ?1")                                               \
    X(SCOPE_REMOVE, "DELETE FROM scope WHERE scope_id = ?1")                                       \
    X(IS_USED, "SELECT EXISTS (SELECT 1 FROM alarm WHERE scope_id = ?1)"                           \
               " OR EXISTS (SELECT 1 FROM inbox WHERE scope_id = ?1)"                              \
               " OR EXISTS (SELECT 1 FROM outbox WHERE group_id = ?1)"                             \
               " OR EXISTS (SELECT 1 FROM received WHERE scope_id = ?1)"                           \
               " OR EXISTS (SELECT 1 FROM dead WHERE group_id = ?1 OR scope_id = ?1)"              \
               " OR EXISTS (SELECT 1 FROM ack WHERE scope_id = ?1)"                                \
               " OR EXISTS (SELECT 1 FROM chain WHERE group_id = ?1)"                              \
               " OR EXISTS (SELECT 1 FROM held WHERE group_id = ?1)")                              \
    X(MEMBER_PUT, "INSERT INTO member (group_id, peer_id, role, state) VALUES (?1, ?2, ?3, ?4)"    \
                  " ON CONFLICT (group_id, peer_id) DO UPDATE SET role = ?3, state = ?4"           \
                  " WHERE role <> ?3 OR state <> ?4")                                              \
    X(MEMBER_REMOVE, "DELETE FROM member WHERE group_id = ?1 AND peer_id = ?2")                    \
    X(MEMBERS_CLEAR, "DELETE FROM member WHERE group_id = ?1")                                     \
    X(MEMBERS, "SELECT peer_id FROM member WHERE group_id = ?1 AND peer_id > ?2 AND state = 2"     \
               " ORDER BY peer_id LIMIT ?3")                                                       \
    X(MEMBERS_ABOVE, "SELECT count(*) FROM member WHERE group_id = ?1 AND peer_id > ?2"            \
                     " AND state = 2")                                                             \
    X(KEYS_OUT, "SELECT count(DISTINCT o.peer_id) FROM outbox o WHERE o.kind = 4 AND o.state < 3"  \
                " AND o.peer_id IN (SELECT peer_id FROM member WHERE group_id = ?1)"               \
                " AND NOT " UNANSWERED)                                                            \
    X(KEYS_UNANSWERED, "SELECT count(DISTINCT o.peer_id) FROM outbox o WHERE o.kind = 4"           \
                       " AND o.state = 1"                                                          \
                       " AND o.peer_id IN (SELECT peer_id FROM member WHERE group_id = ?1)"        \
                       " AND " UNANSWERED)                                                         \
    X(SAID_SINCE, "SELECT count(*) FROM outbox WHERE scope_id = ?1 AND kind = 0"                   \
                  " AND sealed_ms > ?2")                                                           \
    X(JOB_DROP, "DELETE FROM epoch_job WHERE group_id = ?1 AND state <> 3")                        \
    X(EARLY_DROP, "DELETE FROM epoch_job WHERE group_id = ?1 AND state = 3 AND epoch = ?2")        \
    X(JOBS_CLEAR, "DELETE FROM epoch_job WHERE group_id = ?1")                                     \
    X(KEY_UNDER_WAY, "SELECT 1 FROM outbox WHERE peer_id = ?1 AND kind = 4"                        \
                     " AND (state < 3 OR state = 3 AND accepted_ms > ?2) LIMIT 1")                 \
    X(JOB_ADD, "INSERT INTO epoch_job (job_id, group_id, epoch, state, secret, next_peer)"         \
               " VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                                 \
    X(JOB_SET, "UPDATE epoch_job SET state = ?2, next_peer = ?3 WHERE job_id = ?1")                \
    X(JOB_OF, JOB_COLUMNS " WHERE group_id = ?1 AND state <> 3")                                   \
    X(JOB_EARLY, JOB_COLUMNS " WHERE group_id = ?1 AND state = 3 AND epoch = ?2")                  \
    X(JOB_NEXT, JOB_COLUMNS " WHERE job_id > ?1 AND state <> 3 ORDER BY job_id LIMIT 1")           \
    X(JOB_SECRET, "SELECT secret FROM epoch_job WHERE job_id = ?1")                                \
    X(JOB_REMOVE, "DELETE FROM epoch_job WHERE job_id = ?1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_group = { stmt_sql, STMT_COUNT };

static sqlite3_stmt *of(struct agent_store *store, int n)
{
    return in_stmt(store, IN_GROUPS, n);
}

/* ------------------------------------------------------------------ groups */

static bool take_group(struct agent_store *store, sqlite3_stmt *get, struct profile_group *out)
{
    if (!in_row(store, get))
        return false;
    out->group_id = column_int(get, 0);
    column_copy(get, 1, out->id, 16);
    out->state = (enum profile_group_state)column_int(get, 2);
    out->role = (uint8_t)column_int(get, 3);
    out->epoch = (uint32_t)column_int(get, 4);
    out->stale = column_int(get, 5) != 0;
    out->heard_ms = column_u64(get, 6);
    out->version = column_u64(get, 7);
    stmt_end(get);
    return true;
}

static void bind_group(sqlite3_stmt *stmt, const struct profile_group *group)
{
    bind_int(stmt, 1, group->group_id);
    bind_int(stmt, 2, group->state);
    bind_int(stmt, 3, group->role);
    bind_int(stmt, 4, group->epoch);
    bind_int(stmt, 5, group->stale);
    bind_u64(stmt, 6, group->heard_ms);
}

void profile_group_add(struct agent_store *store, struct profile_group *group)
{
    sqlite3_stmt *scope = of(store, STMT_SCOPE_ADD), *add = of(store, STMT_ADD);

    bind_blob(scope, 1, group->id, 16);
    in_run(store, scope);
    group->group_id = in_last_id(store);
    group->version = 0;
    bind_group(add, group);
    in_run(store, add);
}

bool profile_group_get(struct agent_store *store, int64_t group_id, struct profile_group *out)
{
    sqlite3_stmt *get = of(store, STMT_GET);

    bind_int(get, 1, group_id);
    return take_group(store, get, out);
}

bool profile_group_next(struct agent_store *store, int64_t after, struct profile_group *out)
{
    sqlite3_stmt *next = of(store, STMT_NEXT);

    bind_int(next, 1, after);
    return take_group(store, next, out);
}

void profile_group_set(struct agent_store *store, const struct profile_group *group)
{
    sqlite3_stmt *set = of(store, STMT_SET);

    bind_group(set, group);
    in_run(store, set);
}

void profile_group_title_set(struct agent_store *store, int64_t group_id, struct bytes title)
{
    sqlite3_stmt *version = of(store, STMT_VERSION), *set = of(store, STMT_TITLE_SET);
    struct buf sealed = { 0 };
    int64_t now;

    bind_int(version, 1, group_id);
    now = in_number(store, version, 0);
    in_seal(store, &sealed, "grp.title", group_id, now + 1, title);
    bind_int(set, 1, group_id);
    bind_bytes(set, 2, buf_bytes(&sealed));
    bind_int(set, 3, now + 1);
    bind_int(set, 4, now);
    in_run(store, set);
    buf_free(&sealed);
}

bool profile_group_title(struct agent_store *store, int64_t group_id, struct buf *out)
{
    sqlite3_stmt *get = of(store, STMT_TITLE);
    bool opened;

    bind_int(get, 1, group_id);
    if (!in_row(store, get))
        return false;
    opened = in_unseal(store, out, "grp.title", group_id, column_int(get, 1), column_bytes(get, 0));
    stmt_end(get);
    return opened;
}

bool profile_group_remove(struct agent_store *store, int64_t group_id)
{
    static const int all[] = { STMT_JOBS_CLEAR, STMT_MEMBERS_CLEAR, STMT_EVENTS_REMOVE, STMT_REMOVE,
                               STMT_SCOPE_REMOVE };
    sqlite3_stmt *used = of(store, STMT_IS_USED);

    bind_int(used, 1, group_id);
    if (in_number(store, used, 1))
        return false;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        bind_int(of(store, all[i]), 1, group_id);
        in_run(store, of(store, all[i]));
    }
    return true;
}

/* ------------------------------------------------------------------ members */

void profile_member_put(struct agent_store *store, int64_t group_id, int64_t peer_id, uint8_t role,
                        uint8_t state)
{
    sqlite3_stmt *put = of(store, STMT_MEMBER_PUT);

    bind_int(put, 1, group_id);
    bind_int(put, 2, peer_id);
    bind_int(put, 3, role);
    bind_int(put, 4, state);
    in_run(store, put);
}

void profile_member_remove(struct agent_store *store, int64_t group_id, int64_t peer_id)
{
    sqlite3_stmt *drop = of(store, STMT_MEMBER_REMOVE);

    bind_int(drop, 1, group_id);
    bind_int(drop, 2, peer_id);
    in_run(store, drop);
}

void profile_members_clear(struct agent_store *store, int64_t group_id)
{
    sqlite3_stmt *clear = of(store, STMT_MEMBERS_CLEAR);

    bind_int(clear, 1, group_id);
    in_run(store, clear);
}

size_t profile_members(struct agent_store *store, int64_t group_id, int64_t after, int64_t *peers,
                       size_t max)
{
    sqlite3_stmt *list = of(store, STMT_MEMBERS);
    size_t count = 0;

    bind_int(list, 1, group_id);
    bind_int(list, 2, after);
    bind_int(list, 3, (int64_t)max);
    while (in_row(store, list))
        peers[count++] = column_int(list, 0);
    return count;
}

uint64_t profile_members_above(struct agent_store *store, int64_t group_id, int64_t after)
{
    sqlite3_stmt *count = of(store, STMT_MEMBERS_ABOVE);

    bind_int(count, 1, group_id);
    bind_int(count, 2, after);
    return (uint64_t)in_number(store, count, 0);
}

uint64_t profile_group_keys_out(struct agent_store *store, int64_t group_id)
{
    sqlite3_stmt *count = of(store, STMT_KEYS_OUT);

    bind_int(count, 1, group_id);
    return (uint64_t)in_number(store, count, 0);
}

uint64_t profile_group_keys_unanswered(struct agent_store *store, int64_t group_id)
{
    sqlite3_stmt *count = of(store, STMT_KEYS_UNANSWERED);

    bind_int(count, 1, group_id);
    return (uint64_t)in_number(store, count, 0);
}

uint64_t profile_group_said_since(struct agent_store *store, int64_t group_id, uint64_t since_ms)
{
    sqlite3_stmt *count = of(store, STMT_SAID_SINCE);

    bind_int(count, 1, group_id);
    bind_u64(count, 2, since_ms);
    return (uint64_t)in_number(store, count, 0);
}

/* ------------------------------------------------------------------ jobs */

static bool take_job(struct agent_store *store, sqlite3_stmt *get, struct profile_job *out)
{
    if (!in_row(store, get))
        return false;
    out->job_id = column_int(get, 0);
    out->group_id = column_int(get, 1);
    out->epoch = (uint32_t)column_int(get, 2);
    out->state = (enum profile_job_state)column_int(get, 3);
    out->next_peer = column_int(get, 4);
    stmt_end(get);
    return true;
}

void profile_job_put(struct agent_store *store, struct profile_job *job, struct bytes secret)
{
    bool early = job->state == JOB_EARLY;
    sqlite3_stmt *drop = of(store, early ? STMT_EARLY_DROP : STMT_JOB_DROP);
    sqlite3_stmt *add = of(store, STMT_JOB_ADD);
    struct buf sealed = { 0 };

    bind_int(drop, 1, job->group_id);
    if (early)
        bind_int(drop, 2, job->epoch);
    if (in_change(store, drop))
        agent_store_shred(store);
    job->job_id = in_next_id(store, "epoch_job");
    in_seal(store, &sealed, "epoch_job.secret", job->job_id, 0, secret);
    bind_int(add, 1, job->job_id);
    bind_int(add, 2, job->group_id);
    bind_int(add, 3, job->epoch);
    bind_int(add, 4, job->state);
    bind_bytes(add, 5, buf_bytes(&sealed));
    bind_int(add, 6, job->next_peer);
    in_run(store, add);
    buf_free(&sealed);
}

void profile_job_set(struct agent_store *store, const struct profile_job *job)
{
    sqlite3_stmt *set = of(store, STMT_JOB_SET);

    bind_int(set, 1, job->job_id);
    bind_int(set, 2, job->state);
    bind_int(set, 3, job->next_peer);
    in_run(store, set);
}

bool profile_job_of(struct agent_store *store, int64_t group_id, struct profile_job *out)
{
    sqlite3_stmt *get = of(store, STMT_JOB_OF);

    bind_int(get, 1, group_id);
    return take_job(store, get, out);
}

bool profile_job_early(struct agent_store *store, int64_t group_id, uint32_t epoch,
                       struct profile_job *out)
{
    sqlite3_stmt *get = of(store, STMT_JOB_EARLY);

    bind_int(get, 1, group_id);
    bind_int(get, 2, epoch);
    return take_job(store, get, out);
}

bool profile_job_next(struct agent_store *store, int64_t after, struct profile_job *out)
{
    sqlite3_stmt *next = of(store, STMT_JOB_NEXT);

    bind_int(next, 1, after);
    return take_job(store, next, out);
}

bool profile_job_secret(struct agent_store *store, const struct profile_job *job, struct buf *out)
{
    sqlite3_stmt *get = of(store, STMT_JOB_SECRET);
    bool opened;

    bind_int(get, 1, job->job_id);
    if (!in_row(store, get))
        return false;
    opened = in_unseal(store, out, "epoch_job.secret", job->job_id, 0, column_bytes(get, 0));
    stmt_end(get);
    return opened;
}

void profile_jobs_clear(struct agent_store *store, int64_t group_id)
{
    sqlite3_stmt *clear = of(store, STMT_JOBS_CLEAR);

    bind_int(clear, 1, group_id);
    if (in_change(store, clear))
        agent_store_shred(store);
}

bool profile_key_under_way(struct agent_store *store, int64_t peer_id, uint64_t since_ms)
{
    sqlite3_stmt *get = of(store, STMT_KEY_UNDER_WAY);

    bind_int(get, 1, peer_id);
    bind_u64(get, 2, since_ms);
    return in_number(store, get, 0) != 0;
}

void profile_job_remove(struct agent_store *store, int64_t job_id)
{
    sqlite3_stmt *drop = of(store, STMT_JOB_REMOVE);

    bind_int(drop, 1, job_id);
    in_run(store, drop);
    agent_store_shred(store);
}
