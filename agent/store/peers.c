#include "agent/store/peers.h"

#include "agent/store/inner.h"

#define PEER_COLUMNS                                                                               \
    "SELECT peer_id, id, name, identity_key, card_gen, card_hash, pin, policy, first_seen_ms,"     \
    " revoked_ms FROM peer"
#define STATEMENTS(X)                                                                              \
    X(GET, PEER_COLUMNS " WHERE peer_id = ?1")                                                     \
    X(FIND, PEER_COLUMNS " WHERE id = ?1")                                                         \
    X(PINNED, PEER_COLUMNS " WHERE name = ?1 AND id <> ?2 AND pin IN (1, 2, 3) LIMIT 1")           \
    X(NAMED, PEER_COLUMNS " WHERE name = ?1 AND pin <> 0"                                          \
                          " ORDER BY pin = 3 DESC, pin DESC, peer_id DESC LIMIT 1")                \
    X(HAS_PIN, "SELECT 1 FROM peer WHERE name = ?1 AND pin = ?2 LIMIT 1")                          \
    X(ADD, "INSERT INTO peer (id, name, pin, first_seen_ms) VALUES (?1, ?2, 0, ?3)")               \
    X(LEARN, "UPDATE peer SET identity_key = ?2, card_gen = ?3, card_hash = ?4, credential = ?5"   \
             " WHERE peer_id = ?1")                                                                \
    X(CREDENTIAL, "SELECT credential FROM peer WHERE peer_id = ?1 AND credential IS NOT NULL")     \
    X(PIN, "UPDATE peer SET pin = ?2, pinned_ms = ?3 WHERE peer_id = ?1")                          \
    X(CHANGE, "INSERT INTO pin_change (peer_id, at_ms, pin_before, pin_after, why)"                \
              " VALUES (?1, ?2, ?3, ?4, ?5)")                                                      \
    X(PIN_BEFORE, "SELECT pin_before FROM pin_change WHERE peer_id = ?1 AND pin_after = 4"         \
                  " ORDER BY change_id DESC LIMIT 1")                                              \
    X(POLICY, "UPDATE peer SET policy = ?2 WHERE peer_id = ?1")                                    \
    X(REVOKED, "UPDATE peer SET revoked_ms = ?2 WHERE peer_id = ?1 AND revoked_ms IS NULL")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_peer = { stmt_sql, STMT_COUNT };

static bool take_peer(struct agent_store *store, sqlite3_stmt *get, struct profile_peer *out)
{
    if (!in_row(store, get))
        return false;
    out->peer_id = column_int(get, 0);
    column_copy(get, 1, out->id, 32);
    column_text(get, 2, out->name, sizeof out->name);
    out->known = !column_is_null(get, 3);
    column_copy(get, 3, out->identity_key, 32);
    out->card_gen = (uint32_t)column_int(get, 4);
    column_copy(get, 5, out->card_hash, 32);
    out->pin = (enum peer_pin)column_int(get, 6);
    out->policy = (enum peer_policy)column_int(get, 7);
    out->first_seen_ms = column_u64(get, 8);
    out->revoked_ms = column_u64(get, 9);
    stmt_end(get);
    return true;
}

bool profile_peer_get(struct agent_store *store, int64_t peer_id, struct profile_peer *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_PEERS, STMT_GET);

    bind_int(get, 1, peer_id);
    return take_peer(store, get, out);
}

bool profile_peer_find(struct agent_store *store, const uint8_t aid[static 32],
                       struct profile_peer *out)
{
    sqlite3_stmt *find = in_stmt(store, IN_PEERS, STMT_FIND);

    bind_blob(find, 1, aid, 32);
    return take_peer(store, find, out);
}

bool profile_peer_pinned(struct agent_store *store, const char *name, const uint8_t but[static 32],
                         struct profile_peer *out)
{
    sqlite3_stmt *pinned = in_stmt(store, IN_PEERS, STMT_PINNED);

    bind_text(pinned, 1, name);
    bind_blob(pinned, 2, but, 32);
    return take_peer(store, pinned, out);
}

bool profile_peer_named(struct agent_store *store, const char *name, struct profile_peer *out)
{
    sqlite3_stmt *named = in_stmt(store, IN_PEERS, STMT_NAMED);

    bind_text(named, 1, name);
    return take_peer(store, named, out);
}

bool profile_peer_has_pin(struct agent_store *store, const char *name, enum peer_pin pin)
{
    sqlite3_stmt *has = in_stmt(store, IN_PEERS, STMT_HAS_PIN);

    bind_text(has, 1, name);
    bind_int(has, 2, pin);
    return in_number(store, has, 0) != 0;
}

int64_t profile_peer_add(struct agent_store *store, const uint8_t aid[static 32], const char *name,
                         uint64_t now_ms)
{
    sqlite3_stmt *add = in_stmt(store, IN_PEERS, STMT_ADD);

    bind_blob(add, 1, aid, 32);
    bind_text(add, 2, name);
    bind_u64(add, 3, now_ms);
    in_run(store, add);
    return in_last_id(store);
}

void profile_peer_learn(struct agent_store *store, int64_t peer_id,
                        const uint8_t identity_key[static 32], uint32_t card_gen,
                        const uint8_t card_hash[static 32], struct bytes credential)
{
    sqlite3_stmt *learn = in_stmt(store, IN_PEERS, STMT_LEARN);

    bind_int(learn, 1, peer_id);
    bind_blob(learn, 2, identity_key, 32);
    bind_int(learn, 3, card_gen);
    bind_blob(learn, 4, card_hash, 32);
    bind_bytes(learn, 5, credential);
    in_run(store, learn);
}

bool profile_peer_credential(struct agent_store *store, int64_t peer_id, struct buf *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_PEERS, STMT_CREDENTIAL);

    bind_int(get, 1, peer_id);
    if (!in_row(store, get))
        return false;
    buf_set(out, column_bytes(get, 0));
    stmt_end(get);
    return true;
}

void profile_peer_pin(struct agent_store *store, const struct profile_peer *peer, enum peer_pin pin,
                      const char *why, uint64_t now_ms)
{
    sqlite3_stmt *set = in_stmt(store, IN_PEERS, STMT_PIN);
    sqlite3_stmt *change = in_stmt(store, IN_PEERS, STMT_CHANGE);

    if (peer->pin == pin)
        return;
    bind_int(set, 1, peer->peer_id);
    bind_int(set, 2, pin);
    bind_u64(set, 3, now_ms);
    in_run(store, set);
    bind_int(change, 1, peer->peer_id);
    bind_u64(change, 2, now_ms);
    bind_int(change, 3, peer->pin);
    bind_int(change, 4, pin);
    bind_text(change, 5, why);
    in_run(store, change);
}

enum peer_pin profile_peer_pin_before(struct agent_store *store, int64_t peer_id)
{
    sqlite3_stmt *get = in_stmt(store, IN_PEERS, STMT_PIN_BEFORE);

    bind_int(get, 1, peer_id);
    return (enum peer_pin)in_number(store, get, PIN_NONE);
}

void profile_peer_policy(struct agent_store *store, int64_t peer_id, enum peer_policy policy)
{
    sqlite3_stmt *set = in_stmt(store, IN_PEERS, STMT_POLICY);

    bind_int(set, 1, peer_id);
    bind_int(set, 2, policy);
    in_run(store, set);
}

void profile_peer_revoked(struct agent_store *store, int64_t peer_id, uint64_t at_ms)
{
    sqlite3_stmt *set = in_stmt(store, IN_PEERS, STMT_REVOKED);

    bind_int(set, 1, peer_id);
    bind_u64(set, 2, at_ms);
    in_run(store, set);
}
