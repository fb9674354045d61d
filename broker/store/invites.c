#include "broker/store/invites.h"

#include <stdlib.h>

#include "broker/store/inside.h"

#define COLUMNS                                                                                    \
    "invite_id, key, name, circles, approve, note, created_ms, expires_ms, used_ms, approved_ms,"  \
    " denied_ms, withdrawn_ms, until_ms, done_ms, agent_id, card, card_sig"
#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT " COLUMNS " FROM invite WHERE invite_id = ?1")                                  \
    X(BY_KEY, "SELECT " COLUMNS " FROM invite WHERE key = ?1")                                     \
    X(OF_AGENT, "SELECT " COLUMNS " FROM invite WHERE agent_id = ?1"                               \
                " ORDER BY invite_id DESC LIMIT 1")                                                \
    X(ADD, "INSERT INTO invite (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"     \
           " ?11, ?12, ?13, ?14, ?15, ?16, ?17)")                                                  \
    X(PUT,                                                                                         \
      "UPDATE invite SET name = ?3, circles = ?4, approve = ?5, note = ?6, expires_ms = ?8,"       \
      " used_ms = ?9, approved_ms = ?10, denied_ms = ?11, withdrawn_ms = ?12, until_ms = ?13,"     \
      " done_ms = ?14, agent_id = ?15, card = ?16, card_sig = ?17"                                 \
      " WHERE invite_id = ?1 AND key = ?2 AND created_ms = ?7")                                    \
    X(ALL, "SELECT " COLUMNS " FROM invite WHERE ?1 OR (done_ms IS NULL AND denied_ms IS NULL"     \
           " AND withdrawn_ms IS NULL AND until_ms > ?2) ORDER BY invite_id")                      \
    X(ENDED, "SELECT " COLUMNS " FROM invite WHERE until_ms > ?1 AND until_ms <= ?2")
STATEMENT_TABLE(STATEMENTS)

struct invites {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_invites(struct store *store)
{
    store->invites = mem_zeroed(1, sizeof *store->invites);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->invites->stmt);
}

static void close_invites(struct store *store)
{
    if (!store->invites)
        return;
    stmts_finalize(store->invites->stmt, STMT_COUNT);
    free(store->invites);
    store->invites = NULL;
}

const struct module module_invites = { open_invites, close_invites, NULL, NULL, NULL };

enum invite_state store_invite_state(const struct invite_row *invite, uint64_t now_ms)
{
    if (invite->withdrawn_ms)
        return INVITE_WITHDRAWN;
    if (invite->denied_ms)
        return INVITE_DENIED;
    if (invite->agent_id)
        return INVITE_USED;
    if (invite->until_ms <= now_ms)
        return INVITE_EXPIRED;
    return invite->used_ms ? INVITE_WAITING : INVITE_OPEN;
}

bool store_invite_admits(const struct invite_row *invite, uint64_t now_ms)
{
    return !invite->withdrawn_ms && !invite->denied_ms && !invite->done_ms
           && invite->until_ms > now_ms;
}

static enum err read_row(sqlite3_stmt *stmt, struct invite_row *out)
{
    struct bytes card = column_bytes(stmt, 15);

    memset(out, 0, sizeof *out);
    out->invite_id = column_int(stmt, 0);
    column_copy(stmt, 1, out->key, sizeof out->key);
    column_text(stmt, 2, out->name, sizeof out->name);
    column_text(stmt, 3, out->circles, sizeof out->circles);
    out->approve = column_int(stmt, 4) != 0;
    column_text(stmt, 5, out->note, sizeof out->note);
    out->created_ms = column_u64(stmt, 6);
    out->expires_ms = column_u64(stmt, 7);
    out->used_ms = column_u64(stmt, 8);
    out->approved_ms = column_u64(stmt, 9);
    out->denied_ms = column_u64(stmt, 10);
    out->withdrawn_ms = column_u64(stmt, 11);
    out->until_ms = column_u64(stmt, 12);
    out->done_ms = column_u64(stmt, 13);
    out->agent_id = column_int(stmt, 14);
    if (card.len > sizeof out->card)
        return ERR_STORE;
    if (card.len) {
        card = column_bytes(stmt, 15); /* reading other columns may have moved it */
        out->card_len = card.len;
        memcpy(out->card, card.at, card.len);
        column_copy(stmt, 16, out->card_sig, sizeof out->card_sig);
    }
    return ERR_OK;
}

static enum err read_one(struct store *store, sqlite3_stmt *stmt, struct invite_row *out)
{
    enum err e = stmt_step(store->db, stmt);

    if (e == ERR_OK) {
        e = read_row(stmt, out);
        stmt_end(stmt);
    }
    return e;
}

enum err store_invite_get(struct store *store, int64_t invite_id, struct invite_row *out)
{
    sqlite3_stmt *stmt = store->invites->stmt[STMT_GET];

    bind_int(stmt, 1, invite_id);
    return read_one(store, stmt, out);
}

enum err store_invite_by_key(struct store *store, const uint8_t key[static 32],
                             struct invite_row *out)
{
    sqlite3_stmt *stmt = store->invites->stmt[STMT_BY_KEY];

    bind_blob(stmt, 1, key, 32);
    return read_one(store, stmt, out);
}

enum err store_invite_of_agent(struct store *store, int64_t agent_id, struct invite_row *out)
{
    sqlite3_stmt *stmt = store->invites->stmt[STMT_OF_AGENT];

    bind_int(stmt, 1, agent_id);
    return read_one(store, stmt, out);
}

static void bind_row(sqlite3_stmt *stmt, const struct invite_row *invite)
{
    bind_int(stmt, 1, invite->invite_id);
    bind_blob(stmt, 2, invite->key, 32);
    bind_text(stmt, 3, invite->name[0] ? invite->name : NULL);
    bind_text(stmt, 4, invite->circles);
    bind_int(stmt, 5, invite->approve);
    bind_text(stmt, 6, invite->note);
    bind_u64(stmt, 7, invite->created_ms);
    bind_u64(stmt, 8, invite->expires_ms);
    bind_int_or_null(stmt, 9, (int64_t)invite->used_ms);
    bind_int_or_null(stmt, 10, (int64_t)invite->approved_ms);
    bind_int_or_null(stmt, 11, (int64_t)invite->denied_ms);
    bind_int_or_null(stmt, 12, (int64_t)invite->withdrawn_ms);
    bind_u64(stmt, 13, invite->until_ms);
    bind_int_or_null(stmt, 14, (int64_t)invite->done_ms);
    bind_int_or_null(stmt, 15, invite->agent_id);
    if (invite->card_len) {
        bind_blob(stmt, 16, invite->card, invite->card_len);
        bind_blob(stmt, 17, invite->card_sig, 64);
    } else {
        bind_null(stmt, 16);
        bind_null(stmt, 17);
    }
}

enum err store_invite_add(struct store *store, struct invite_row *invite)
{
    sqlite3_stmt *stmt = store->invites->stmt[STMT_ADD];

    invite->invite_id = ++store->numbers.invite;
    bind_row(stmt, invite);
    return stmt_run(store->db, stmt);
}

enum err store_invite_put(struct store *store, const struct invite_row *invite)
{
    sqlite3_stmt *stmt = store->invites->stmt[STMT_PUT];

    bind_row(stmt, invite);
    return stmt_run_change(store->db, stmt);
}

static enum err walk(struct store *store, sqlite3_stmt *stmt, store_invite_visit *visit, void *ctx)
{
    struct invite_row invite;
    enum err e;

    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        if ((e = read_row(stmt, &invite)) != ERR_OK || !visit(ctx, &invite)) {
            stmt_end(stmt);
            return e;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err store_invite_list(struct store *store, bool all, uint64_t now_ms,
                           store_invite_visit *visit, void *ctx)
{
    sqlite3_stmt *stmt = store->invites->stmt[STMT_ALL];

    bind_int(stmt, 1, all);
    bind_u64(stmt, 2, now_ms);
    return walk(store, stmt, visit, ctx);
}

enum err store_invite_ended(struct store *store, uint64_t from_ms, uint64_t to_ms,
                            store_invite_visit *visit, void *ctx)
{
    sqlite3_stmt *stmt = store->invites->stmt[STMT_ENDED];

    bind_u64(stmt, 1, from_ms);
    bind_u64(stmt, 2, to_ms);
    return walk(store, stmt, visit, ctx);
}
