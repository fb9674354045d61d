#include "agent/store/secrets.h"

#include "agent/store/inner.h"

#define STATEMENTS(X)                                                                              \
    X(ADD, "INSERT INTO secret (secret_id, kind, number, public, private, created_ms)"             \
           " VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                                     \
    X(GET, "SELECT secret_id, public, private FROM secret WHERE kind = ?1 AND number = ?2")        \
    X(NEWEST, "SELECT number, created_ms, delete_ms FROM secret"                                   \
              " WHERE kind = ?1 AND number <= ?2 ORDER BY number DESC LIMIT 1")                    \
    X(LIST, "SELECT number, public FROM secret"                                                    \
            " WHERE kind = ?1 AND number > ?2 AND delete_ms IS NULL ORDER BY number LIMIT ?3")     \
    X(REMOVE, "DELETE FROM secret WHERE kind = ?1 AND number = ?2")                                \
    X(RETIRE, "UPDATE secret SET delete_ms = ?3"                                                   \
              " WHERE kind = ?1 AND number <= ?2 AND delete_ms IS NULL")                           \
    X(EXPIRE, "DELETE FROM secret WHERE delete_ms <= ?1")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_secret = { stmt_sql, STMT_COUNT };

/* Numbers of prekeys are never used twice, so the highest one is remembered beyond its row. */
static const char *last_key(enum secret_kind kind)
{
    return kind == SECRET_SPK ? "spk_last" : "opk_last";
}

void profile_secret_add(struct agent_store *store, enum secret_kind kind, uint32_t number,
                        struct bytes public_part, struct bytes private_part, uint64_t now_ms)
{
    sqlite3_stmt *add = in_stmt(store, IN_SECRETS, STMT_ADD);
    struct buf sealed = { 0 };
    int64_t id = in_next_id(store, "secret");

    in_seal(store, &sealed, "secret.private", id, 0, private_part);
    bind_int(add, 1, id);
    bind_int(add, 2, kind);
    bind_int(add, 3, number);
    bind_bytes(add, 4, public_part);
    bind_bytes(add, 5, buf_bytes(&sealed));
    bind_u64(add, 6, now_ms);
    in_run(store, add);
    buf_free(&sealed);
    if (kind == SECRET_SPK || kind == SECRET_OPK)
        profile_number_set(store, last_key(kind), number, "highest prekey number ever used");
}

bool profile_secret_get(struct agent_store *store, enum secret_kind kind, uint32_t number,
                        struct buf *public_part, struct buf *private_part)
{
    sqlite3_stmt *get = in_stmt(store, IN_SECRETS, STMT_GET);
    bool good = true;

    bind_int(get, 1, kind);
    bind_int(get, 2, number);
    if (!in_row(store, get))
        return false;
    if (public_part)
        buf_set(public_part, column_bytes(get, 1));
    if (private_part) {
        buf_wipe(private_part);
        good = in_unseal(store, private_part, "secret.private", column_int(get, 0), 0,
                         column_bytes(get, 2));
    }
    stmt_end(get);
    return good;
}

bool profile_secret_newest(struct agent_store *store, enum secret_kind kind, uint32_t most,
                           struct secret_info *out)
{
    sqlite3_stmt *newest = in_stmt(store, IN_SECRETS, STMT_NEWEST);

    bind_int(newest, 1, kind);
    bind_int(newest, 2, most);
    if (!in_row(store, newest))
        return false;
    out->number = (uint32_t)column_int(newest, 0);
    out->created_ms = column_u64(newest, 1);
    out->retired = !column_is_null(newest, 2);
    stmt_end(newest);
    return true;
}

uint32_t profile_secret_last(struct agent_store *store, enum secret_kind kind)
{
    uint64_t last = 0;
    profile_number_get(store, last_key(kind), &last);
    return (uint32_t)last;
}

size_t profile_secret_list(struct agent_store *store, enum secret_kind kind, uint32_t after,
                           size_t max, uint32_t *numbers, uint8_t (*publics)[32])
{
    sqlite3_stmt *list = in_stmt(store, IN_SECRETS, STMT_LIST);
    size_t count = 0;

    bind_int(list, 1, kind);
    bind_int(list, 2, after);
    bind_int(list, 3, (int64_t)max);
    while (in_row(store, list)) {
        numbers[count] = (uint32_t)column_int(list, 0);
        column_copy(list, 1, publics[count], 32);
        count++;
    }
    return count;
}

void profile_secret_remove(struct agent_store *store, enum secret_kind kind, uint32_t number)
{
    sqlite3_stmt *gone = in_stmt(store, IN_SECRETS, STMT_REMOVE);

    bind_int(gone, 1, kind);
    bind_int(gone, 2, number);
    if (in_change(store, gone))
        agent_store_shred(store);
}

void profile_secret_retire(struct agent_store *store, enum secret_kind kind, uint32_t number,
                           uint64_t delete_ms)
{
    sqlite3_stmt *retire = in_stmt(store, IN_SECRETS, STMT_RETIRE);

    bind_int(retire, 1, kind);
    bind_int(retire, 2, number);
    bind_u64(retire, 3, delete_ms);
    in_run(store, retire);
}

void profile_secret_expire(struct agent_store *store, uint64_t now_ms)
{
    sqlite3_stmt *expire = in_stmt(store, IN_SECRETS, STMT_EXPIRE);

    bind_u64(expire, 1, now_ms);
    if (in_change(store, expire))
        agent_store_shred(store);
}
