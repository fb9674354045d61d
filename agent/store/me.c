#include "agent/store/me.h"

#include "agent/store/inner.h"

#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT name, id, endpoint, broker_key, root_id, root_key, server_card, incarnation,"   \
           " card, card_sig, card_gen, certificate, certificate_sig FROM profile")                 \
    X(PUT, "INSERT INTO profile (profile_id, name, id, endpoint, broker_key, root_id, root_key,"   \
           " server_card, incarnation, card, card_sig, card_gen, certificate, certificate_sig,"    \
           " key_check) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"   \
           " ON CONFLICT (profile_id) DO UPDATE SET name = ?1, id = ?2, endpoint = ?3,"            \
           " broker_key = ?4, root_id = ?5, root_key = ?6, server_card = ?7, incarnation = ?8,"    \
           " card = ?9, card_sig = ?10, card_gen = ?11, certificate = ?12, certificate_sig = ?13")
STATEMENT_TABLE(STATEMENTS)
const struct profile_statements profile_sql_me = { stmt_sql, STMT_COUNT };

bool profile_me_get(struct agent_store *store, struct profile_me *out)
{
    sqlite3_stmt *get = in_stmt(store, IN_ME, STMT_GET);

    if (!in_row(store, get))
        return false;
    column_text(get, 0, out->name, sizeof out->name);
    column_copy(get, 1, out->id, 32);
    column_text(get, 2, out->endpoint, sizeof out->endpoint);
    column_copy(get, 3, out->broker_key, 32);
    column_copy(get, 4, out->root_id, 32);
    column_copy(get, 5, out->root_key, 32);
    out->enrolled = !column_is_null(get, 11);
    buf_set(&out->server_card, column_bytes(get, 6));
    column_copy(get, 7, out->incarnation, 16);
    buf_set(&out->card, column_bytes(get, 8));
    column_copy(get, 9, out->card_sig, 64);
    out->card_gen = (uint32_t)column_int(get, 10);
    buf_set(&out->certificate, column_bytes(get, 11));
    column_copy(get, 12, out->certificate_sig, 64);
    stmt_end(get);
    return true;
}

void profile_me_put(struct agent_store *store, const struct profile_me *me)
{
    sqlite3_stmt *put = in_stmt(store, IN_ME, STMT_PUT);
    struct buf check = { 0 };

    in_seal(store, &check, "profile.key_check", 1, 0, bytes_of_text("sealpost"));
    bind_text(put, 1, me->name);
    bind_blob(put, 2, me->id, 32);
    bind_text(put, 3, me->endpoint);
    bind_blob(put, 4, me->broker_key, 32);
    bind_blob(put, 5, me->root_id, 32);
    bind_blob(put, 8, me->incarnation, 16);
    bind_bytes(put, 9, buf_bytes(&me->card));
    bind_blob(put, 10, me->card_sig, 64);
    bind_int(put, 11, me->card_gen);
    if (me->enrolled) {
        bind_blob(put, 6, me->root_key, 32);
        bind_bytes(put, 7, buf_bytes(&me->server_card));
        bind_bytes(put, 12, buf_bytes(&me->certificate));
        bind_blob(put, 13, me->certificate_sig, 64);
    } else {
        bind_null(put, 6);
        bind_null(put, 7);
        bind_null(put, 12);
        bind_null(put, 13);
    }
    bind_bytes(put, 14, buf_bytes(&check));
    in_run(store, put);
    buf_free(&check);
}

void profile_me_free(struct profile_me *me)
{
    buf_free(&me->server_card);
    buf_free(&me->card);
    buf_free(&me->certificate);
    *me = (struct profile_me){ 0 };
}
