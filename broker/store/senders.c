/*
 * senders - numbering per (session, sender), and each sender's share of a stream.
 *
 * A row is read once, its sum checked, and kept in memory; changed rows are written before the
 * commit.  Shares exist in memory only: they are recounted when first needed.
 */
#include "broker/store/senders.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/store/audit.h"
#include "broker/store/inside.h"
#include "broker/store/streams.h"

#define STATEMENTS(X)                                                                              \
    X(GET, "SELECT stored_seq, settled_seq, waiting_bytes, total_bytes, last_ms, digest, sum"      \
           " FROM sender WHERE session_id = ?1 AND sender_id = ?2")                                \
    X(ADD, "INSERT INTO sender (session_id, sender_id, sum) VALUES (?1, ?2, ?3)")                  \
    X(PUT, "UPDATE sender SET stored_seq = ?3, settled_seq = ?4, waiting_bytes = ?5,"              \
           " total_bytes = ?6, last_ms = ?7, digest = ?8, sum = ?9"                                \
           " WHERE session_id = ?1 AND sender_id = ?2")
STATEMENT_TABLE(STATEMENTS)

#define PAIR_SESSIONS_MOST 256

struct kept {
    struct row row; /* session_id, sender_id */
    struct sender_row sender;
};

struct kept_share {
    struct row row; /* stream_id, sender_id */
    struct share share;
};

struct senders {
    sqlite3_stmt *stmt[STMT_COUNT];
    struct rows kept, shares;
};

static enum err open_senders(struct store *store)
{
    struct senders *s = store->senders = mem_zeroed(1, sizeof *s);

    rows_init(&s->kept, sizeof(struct kept), 0);
    rows_init(&s->shares, sizeof(struct kept_share), 0);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, s->stmt);
}

static void close_senders(struct store *store)
{
    if (!store->senders)
        return;
    stmts_finalize(store->senders->stmt, STMT_COUNT);
    rows_wipe(&store->senders->kept);
    rows_wipe(&store->senders->shares);
    free(store->senders);
    store->senders = NULL;
}

static int64_t sum_of(struct store *store, const struct sender_row *s)
{
    sum_begin(store, "sender");
    sum_int(store, s->session_id);
    sum_int(store, s->sender_id);
    sum_int(store, (int64_t)s->stored_seq);
    sum_int(store, (int64_t)s->settled_seq);
    sum_blob(store, s->digest, sizeof s->digest);
    return sum_end(store);
}

static enum err put(struct store *store, const struct sender_row *s)
{
    sqlite3_stmt *stmt = store->senders->stmt[STMT_PUT];
    enum err e;

    bind_int(stmt, 1, s->session_id);
    bind_int(stmt, 2, s->sender_id);
    bind_u64(stmt, 3, s->stored_seq);
    bind_u64(stmt, 4, s->settled_seq);
    bind_u64(stmt, 5, s->waiting_bytes);
    bind_u64(stmt, 6, s->total_bytes);
    bind_u64(stmt, 7, s->last_ms);
    bind_blob(stmt, 8, s->digest, sizeof s->digest);
    bind_int(stmt, 9, sum_of(store, s));
    e = stmt_run_change(store->db, stmt);
    return e == ERR_NOT_FOUND ? ERR_STORE : e;
}

static enum err flush_senders(struct store *store)
{
    struct kept *kept;

    while ((kept = rows_next_dirty(&store->senders->kept))) {
        enum err e = put(store, &kept->sender);

        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static void committed_senders(struct store *store)
{
    if (store->senders->kept.count > ROWS_MOST)
        rows_clear(&store->senders->kept);
    if (store->senders->shares.count > ROWS_MOST)
        rows_clear(&store->senders->shares);
}

static void forget_senders(struct store *store)
{
    rows_clear(&store->senders->kept);
    rows_clear(&store->senders->shares);
}

const struct module module_senders
    = { open_senders, close_senders, flush_senders, committed_senders, forget_senders };

/* What a flipped bit took: the frames that wait tell how far the sender had come at least. */
static enum err rebuild(struct store *store, struct sender_row *s)
{
    struct waiting waiting;
    char about[48];
    enum err e = frames_waiting(store, s->session_id, s->sender_id, &waiting);

    if (e != ERR_OK)
        return e;
    s->stored_seq = waiting.last_seq;
    s->settled_seq = waiting.frames ? waiting.first_seq - 1 : 0;
    s->waiting_bytes = waiting.bytes;
    memset(s->digest, 0, sizeof s->digest);
    snprintf(about, sizeof about, "session %lld, agent %lld", (long long)s->session_id,
             (long long)s->sender_id);
    log_event(LOG_ERROR, "sender_damaged", "session=%lld agent=%lld", (long long)s->session_id,
              (long long)s->sender_id);
    if ((e = put(store, s)) != ERR_OK)
        return e;
    return store_audit(store, store->now_ms, "broker", "sender.damaged", about,
                       "rebuilt from the waiting frames");
}

static enum err keep(struct store *store, int64_t session_id, int64_t sender_id, struct kept **out)
{
    sqlite3_stmt *stmt = store->senders->stmt[STMT_GET];
    struct sender_row s = { .session_id = session_id, .sender_id = sender_id };
    bool sound;
    enum err e;

    *out = rows_find(&store->senders->kept, session_id, sender_id);
    if (*out)
        return ERR_OK;
    bind_int(stmt, 1, session_id);
    bind_int(stmt, 2, sender_id);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e;
    s.stored_seq = column_u64(stmt, 0);
    s.settled_seq = column_u64(stmt, 1);
    s.waiting_bytes = column_u64(stmt, 2);
    s.total_bytes = column_u64(stmt, 3);
    s.last_ms = column_u64(stmt, 4);
    sound = column_copy(stmt, 5, s.digest, sizeof s.digest)
            && sum_of(store, &s) == column_int(stmt, 6);
    stmt_end(stmt);
    if (!sound && (e = rebuild(store, &s)) != ERR_OK)
        return e;
    *out = rows_add(&store->senders->kept, session_id, sender_id);
    (*out)->sender = s;
    return ERR_OK;
}

enum err store_sender_get(struct store *store, int64_t session_id, int64_t sender_id,
                          struct sender_row *out)
{
    struct kept *kept;
    enum err e = keep(store, session_id, sender_id, &kept);

    if (e == ERR_OK)
        *out = kept->sender;
    return e;
}

enum err sender_add(struct store *store, int64_t session_id, int64_t sender_id)
{
    sqlite3_stmt *stmt = store->senders->stmt[STMT_ADD];
    struct sender_row s = { .session_id = session_id, .sender_id = sender_id };

    bind_int(stmt, 1, session_id);
    bind_int(stmt, 2, sender_id);
    bind_int(stmt, 3, sum_of(store, &s));
    return stmt_run(store->db, stmt);
}

void sender_forget_scope(struct store *store, int64_t session_id, int64_t sender_id)
{
    rows_remove(&store->senders->kept, session_id, sender_id);
}

enum err store_sender_advance(struct store *store, int64_t session_id, int64_t sender_id,
                              uint64_t seq, const uint8_t digest[static 32], uint64_t bytes,
                              uint64_t now_ms)
{
    struct kept *kept;
    enum err e = keep(store, session_id, sender_id, &kept);

    if (e != ERR_OK)
        return e;
    if (seq != kept->sender.stored_seq + 1)
        return ERR_CONFLICT;
    kept->sender.stored_seq = seq;
    kept->sender.waiting_bytes += bytes;
    kept->sender.total_bytes += bytes;
    kept->sender.last_ms = now_ms;
    memcpy(kept->sender.digest, digest, 32);
    rows_touch(&store->senders->kept, kept);
    return ERR_OK;
}

enum err store_sender_settle_to(struct store *store, int64_t session_id, int64_t sender_id,
                                uint64_t seq, const uint8_t *digest)
{
    struct kept *kept;
    enum err e = keep(store, session_id, sender_id, &kept);

    if (e != ERR_OK)
        return e;
    if (seq > kept->sender.stored_seq) {
        kept->sender.stored_seq = seq;
        memset(kept->sender.digest, 0, 32);
        if (digest)
            memcpy(kept->sender.digest, digest, 32);
    }
    if (seq > kept->sender.settled_seq)
        kept->sender.settled_seq = seq;
    rows_touch(&store->senders->kept, kept);
    return ERR_OK;
}

static void take_off(uint64_t *counter, uint64_t by)
{
    *counter -= *counter < by ? *counter : by;
}

enum err sender_settled(struct store *store, int64_t stream_id, int64_t session_id,
                        int64_t sender_id, uint64_t to_seq, uint64_t frames, uint64_t bytes)
{
    struct kept_share *share = rows_find(&store->senders->shares, stream_id, sender_id);
    struct kept *kept;
    enum err e;

    if (share) {
        take_off(&share->share.frames, frames);
        take_off(&share->share.bytes, bytes);
    }
    if ((e = keep(store, session_id, sender_id, &kept)) != ERR_OK)
        return e;
    take_off(&kept->sender.waiting_bytes, bytes);
    if (to_seq > kept->sender.settled_seq)
        kept->sender.settled_seq = to_seq;
    if (kept->sender.settled_seq > kept->sender.stored_seq) /* its row had been damaged */
        kept->sender.stored_seq = kept->sender.settled_seq;
    rows_touch(&store->senders->kept, kept);
    return ERR_OK;
}

/* ---- shares
 * --------------------------------------------------------------------------------------- */

void share_stored(struct store *store, int64_t stream_id, int64_t sender_id, uint64_t bytes)
{
    struct kept_share *share = rows_find(&store->senders->shares, stream_id, sender_id);

    if (!share)
        return;
    share->share.frames++;
    share->share.bytes += bytes;
}

static enum err count_share(struct store *store, const struct stream_row *stream, int64_t sender_id,
                            struct share *out)
{
    int64_t sessions[PAIR_SESSIONS_MOST];
    size_t count = 0;
    enum err e = ERR_OK;

    if (stream->kind == STREAM_CHANNEL)
        sessions[count++] = stream->group_id;
    else
        e = scope_pair(store, stream->agent_id, sender_id, sessions, PAIR_SESSIONS_MOST, &count);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        struct waiting waiting;

        if ((e = frames_waiting(store, sessions[i], sender_id, &waiting)) == ERR_OK) {
            out->frames += waiting.frames;
            out->bytes += waiting.bytes;
        }
    }
    return e;
}

enum err store_share(struct store *store, int64_t stream_id, int64_t sender_id, struct share *out)
{
    struct kept_share *kept = rows_find(&store->senders->shares, stream_id, sender_id);
    struct share share = { 0 };
    struct stream_row stream;
    enum err e;

    if (kept) {
        *out = kept->share;
        return ERR_OK;
    }
    if ((e = store_stream_get(store, stream_id, &stream)) != ERR_OK
        || (e = count_share(store, &stream, sender_id, &share)) != ERR_OK)
        return e;
    kept = rows_add(&store->senders->shares, stream_id, sender_id);
    kept->share = share;
    *out = share;
    return ERR_OK;
}
