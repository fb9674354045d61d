/*
 * frames - the rows that are delivered: appended, walked, turned into tombstones, settled.
 */
#include <assert.h>
#include <stdlib.h>

#include "broker/store/inside.h"
#include "broker/store/streams.h"

#define FACTS                                                                                      \
    "position, session_id, sender_id, sender_seq, kind, stored_ms, expires_ms, digest, reason,"
#define STATEMENTS(X)                                                                              \
    X(APPEND, "INSERT INTO frame (position, stream_id, session_id, sender_id, sender_seq, kind,"   \
              " stored_ms, expires_ms, digest, reason, sum, frame)"                                \
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")                       \
    X(DIGEST, "SELECT digest FROM frame"                                                           \
              " WHERE session_id = ?1 AND sender_id = ?2 AND sender_seq = ?3")                     \
    X(FIND, "SELECT " FACTS " length(frame), stream_id FROM frame"                                 \
            " WHERE session_id = ?1 AND sender_id = ?2 AND sender_seq = ?3")                       \
    X(FETCH, "SELECT " FACTS " sum, frame FROM frame"                                              \
             " WHERE stream_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3")                 \
    X(LIST, "SELECT " FACTS " length(frame) FROM frame"                                            \
            " WHERE stream_id = ?1 AND position > ?2 AND position <= ?4"                           \
            " ORDER BY position LIMIT ?3")                                                         \
    X(TOMBSTONE, "UPDATE frame SET frame = NULL, reason = ?2, sum = ?3 WHERE position = ?1")       \
    X(REMOVE, "DELETE FROM frame WHERE position = ?1")                                             \
    X(SETTLE, "DELETE FROM frame WHERE stream_id = ?1 AND position <= ?2")                         \
    X(WAITING, "SELECT count(*), coalesce(min(sender_seq), 0), coalesce(max(sender_seq), 0),"      \
               " coalesce(sum(length(frame)), 0) FROM frame"                                       \
               " WHERE session_id = ?1 AND sender_id = ?2 AND sender_seq > 0"                      \
               " AND (kind <> 8 OR reason IS NULL)")
STATEMENT_TABLE(STATEMENTS)

/* Places of FACTS in a result. */
enum {
    AT_POSITION,
    AT_SCOPE,
    AT_SENDER,
    AT_SEQ,
    AT_KIND,
    AT_STORED,
    AT_EXPIRES,
    AT_DIGEST,
    AT_REASON,
    AT_NEXT
};

struct frames {
    sqlite3_stmt *stmt[STMT_COUNT];
};

static enum err open_frames(struct store *store)
{
    store->frames = mem_zeroed(1, sizeof *store->frames);
    return stmts_prepare(store->db, stmt_sql, STMT_COUNT, store->frames->stmt);
}

static void close_frames(struct store *store)
{
    if (!store->frames)
        return;
    stmts_finalize(store->frames->stmt, STMT_COUNT);
    free(store->frames);
    store->frames = NULL;
}

const struct module module_frames = { open_frames, close_frames, NULL, NULL, NULL };

static bool is_control(const struct frame_row *frame)
{
    return frame->kind >= ITEM_RECEIPT;
}

/* Only a channel has frames of this kind. */
static bool is_channel_tombstone(const struct frame_row *frame)
{
    return frame->kind == ITEM_GROUP && frame->reason;
}

/* Rows that count in no quota. */
static bool is_free(const struct frame_row *frame)
{
    return is_control(frame) || is_channel_tombstone(frame);
}

static int64_t sum_of(struct store *store, const struct frame_row *frame)
{
    sum_begin(store, "frame");
    sum_int(store, (int64_t)frame->position);
    sum_int(store, frame->stream_id);
    sum_int_or_null(store, frame->scope_id);
    sum_int_or_null(store, frame->sender_id);
    sum_int_or_null(store, (int64_t)frame->seq);
    sum_int(store, frame->kind);
    sum_int(store, (int64_t)frame->stored_ms);
    sum_int(store, (int64_t)frame->expires_ms);
    sum_blob(store, frame->digest, sizeof frame->digest);
    sum_int_or_null(store, frame->reason);
    if (frame->reason)
        sum_null(store);
    else
        sum_blob(store, frame->frame.at, frame->frame.len);
    return sum_end(store);
}

enum err store_frame_append(struct store *store, const struct frame_row *frame, uint64_t *position)
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_APPEND];
    struct frame_row row = *frame;
    enum err e;

    assert((row.seq == 0) == is_control(&row));
    row.position = position_next(store);
    bind_u64(stmt, 1, row.position);
    bind_int(stmt, 2, row.stream_id);
    bind_int_or_null(stmt, 3, row.scope_id);
    bind_int_or_null(stmt, 4, row.sender_id);
    bind_int_or_null(stmt, 5, (int64_t)row.seq);
    bind_int(stmt, 6, row.kind);
    bind_u64(stmt, 7, row.stored_ms);
    bind_u64(stmt, 8, row.expires_ms);
    bind_blob(stmt, 9, row.digest, sizeof row.digest);
    bind_int_or_null(stmt, 10, row.reason);
    bind_int(stmt, 11, sum_of(store, &row));
    if (row.reason)
        bind_null(stmt, 12);
    else
        bind_bytes(stmt, 12, row.frame);
    row.len = row.reason ? 0 : row.frame.len;
    if ((e = stmt_run(store->db, stmt)) != ERR_OK)
        return e;
    e = stream_stored(store, row.stream_id, row.position, is_free(&row), row.len, row.expires_ms);
    if (e != ERR_OK)
        return e;
    if (!is_free(&row))
        share_stored(store, row.stream_id, row.sender_id, row.len);
    *position = row.position;
    return ERR_OK;
}

enum err store_frame_digest(struct store *store, int64_t scope_id, int64_t sender_id, uint64_t seq,
                            uint8_t digest[static 32])
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_DIGEST];
    enum err e;

    bind_int(stmt, 1, scope_id);
    bind_int(stmt, 2, sender_id);
    bind_u64(stmt, 3, seq);
    if ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        column_copy(stmt, 0, digest, 32);
        stmt_end(stmt);
    }
    return e;
}

static void read_facts(sqlite3_stmt *stmt, struct frame_row *out)
{
    out->position = column_u64(stmt, AT_POSITION);
    out->scope_id = column_int(stmt, AT_SCOPE);
    out->sender_id = column_int(stmt, AT_SENDER);
    out->seq = column_u64(stmt, AT_SEQ);
    out->kind = (enum item_kind)column_int(stmt, AT_KIND);
    out->stored_ms = column_u64(stmt, AT_STORED);
    out->expires_ms = column_u64(stmt, AT_EXPIRES);
    out->damaged = !column_copy(stmt, AT_DIGEST, out->digest, sizeof out->digest);
    out->reason = (int)column_int(stmt, AT_REASON);
    out->frame = bytes_of(NULL, 0);
}

enum err store_frame_find(struct store *store, int64_t scope_id, int64_t sender_id, uint64_t seq,
                          struct frame_row *out)
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_FIND];
    enum err e;

    bind_int(stmt, 1, scope_id);
    bind_int(stmt, 2, sender_id);
    bind_u64(stmt, 3, seq);
    if ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        read_facts(stmt, out);
        out->len = column_u64(stmt, AT_NEXT);
        out->stream_id = column_int(stmt, AT_NEXT + 1);
        stmt_end(stmt);
    }
    return e;
}

/* After a walk: no more rows is its good end. */
static enum err walked(sqlite3_stmt *stmt, enum err e)
{
    if (e == ERR_OK)
        stmt_end(stmt); /* the visitor had enough */
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err store_frame_fetch(struct store *store, int64_t stream_id, uint64_t after, uint64_t max,
                           store_frame_visit *visit, void *ctx)
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_FETCH];
    struct frame_row row = { .stream_id = stream_id };
    enum err e;

    bind_int(stmt, 1, stream_id);
    bind_u64(stmt, 2, after);
    bind_u64(stmt, 3, max);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        read_facts(stmt, &row);
        row.frame = column_bytes(stmt, AT_NEXT + 1);
        row.len = row.frame.len;
        row.damaged = row.damaged || sum_of(store, &row) != column_int(stmt, AT_NEXT);
        if (row.damaged)
            row.frame = bytes_of(NULL, 0);
        if (!visit(ctx, &row))
            break;
    }
    return walked(stmt, e);
}

enum err store_frame_list(struct store *store, int64_t stream_id, uint64_t after, uint64_t upto,
                          uint64_t max, store_frame_visit *visit, void *ctx)
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_LIST];
    struct frame_row row = { .stream_id = stream_id };
    enum err e;

    bind_int(stmt, 1, stream_id);
    bind_u64(stmt, 2, after);
    bind_u64(stmt, 3, max);
    bind_u64(stmt, 4, upto > INT64_MAX ? INT64_MAX : upto);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        read_facts(stmt, &row);
        row.len = column_u64(stmt, AT_NEXT);
        if (!visit(ctx, &row))
            break;
    }
    return walked(stmt, e);
}

enum err store_frame_tombstone(struct store *store, const struct frame_row *frame, int reason)
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_TOMBSTONE];
    struct frame_row row = *frame;
    enum err e;

    assert(reason > 0 && frame->reason == 0 && !is_control(frame));
    row.reason = reason;
    bind_u64(stmt, 1, row.position);
    bind_int(stmt, 2, reason);
    bind_int(stmt, 3, sum_of(store, &row));
    if ((e = stmt_run_change(store->db, stmt)) != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    CRASH_POINT("sweep.tombstone");
    if ((e = stream_count(store, row.stream_id, 0, 0, row.len)) != ERR_OK)
        return e;
    /* In a channel its number is settled, and it leaves the quota. */
    if (is_channel_tombstone(&row)) {
        if ((e = stream_freed(store, row.stream_id)) != ERR_OK)
            return e;
        e = sender_settled(store, row.stream_id, row.scope_id, row.sender_id, row.seq, 1, row.len);
    } else {
        e = sender_settled(store, row.stream_id, row.scope_id, row.sender_id, 0, 0, row.len);
    }
    return e == ERR_NOT_FOUND && frame->damaged ? ERR_OK : e;
}

enum err store_frame_remove(struct store *store, const struct frame_row *frame)
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_REMOVE];
    enum err e;

    bind_u64(stmt, 1, frame->position);
    if ((e = stmt_run_change(store->db, stmt)) != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_STORE : e;
    e = stream_count(store, frame->stream_id, 1, is_free(frame), frame->len);
    if (e != ERR_OK || is_free(frame))
        return e;
    e = sender_settled(store, frame->stream_id, frame->scope_id, frame->sender_id, frame->seq, 1,
                       frame->len);
    return e == ERR_NOT_FOUND && frame->damaged ? ERR_OK : e;
}

enum err frames_waiting(struct store *store, int64_t session_id, int64_t sender_id,
                        struct waiting *out)
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_WAITING];
    enum err e;

    bind_int(stmt, 1, session_id);
    bind_int(stmt, 2, sender_id);
    if ((e = stmt_step(store->db, stmt)) != ERR_OK)
        return e;
    out->frames = column_u64(stmt, 0);
    out->first_seq = column_u64(stmt, 1);
    out->last_seq = column_u64(stmt, 2);
    out->bytes = column_u64(stmt, 3);
    stmt_end(stmt);
    return ERR_OK;
}

/* ---- settling
 * ------------------------------------------------------------------------------------- */

static struct settled *settled_of(struct settlement *s, const struct frame_row *frame)
{
    for (size_t i = s->count; i-- > 0;) /* the last ones are the likely ones */
        if (s->at[i].session_id == frame->scope_id && s->at[i].sender_id == frame->sender_id)
            return &s->at[i];
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->at = mem_resize(s->at, s->cap * sizeof *s->at);
    }
    s->at[s->count]
        = (struct settled){ .session_id = frame->scope_id, .sender_id = frame->sender_id };
    return &s->at[s->count++];
}

void settlement_add(struct settlement *s, const struct frame_row *frame)
{
    struct settled *settled;

    s->rows++;
    s->bytes += frame->len;
    if (is_free(frame)) {
        s->control++;
        return;
    }
    settled = settled_of(s, frame);
    if (frame->seq > settled->to_seq)
        settled->to_seq = frame->seq;
    settled->frames++;
    settled->bytes += frame->len;
}

void settlement_clear(struct settlement *s)
{
    s->count = 0;
    s->rows = s->control = s->bytes = 0;
}

void settlement_free(struct settlement *s)
{
    free(s->at);
    *s = (struct settlement){ 0 };
}

enum err store_settle(struct store *store, int64_t stream_id, uint64_t upto,
                      const struct settlement *s)
{
    sqlite3_stmt *stmt = store->frames->stmt[STMT_SETTLE];
    enum err e;

    bind_int(stmt, 1, stream_id);
    bind_u64(stmt, 2, upto);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK)
        return e;
    if ((uint64_t)sqlite3_changes(db_handle(store->db)) != s->rows) {
        log_event(LOG_ERROR, "settle", "stream=%lld error=\"other rows than were checked\"",
                  (long long)stream_id);
        return ERR_STORE;
    }
    CRASH_POINT("ack.deleted");
    if ((e = stream_count(store, stream_id, s->rows, s->control, s->bytes)) != ERR_OK)
        return e;
    for (size_t i = 0; i < s->count; i++) {
        const struct settled *at = &s->at[i];

        e = sender_settled(store, stream_id, at->session_id, at->sender_id, at->to_seq, at->frames,
                           at->bytes);
        if (e != ERR_OK && e != ERR_NOT_FOUND)
            return e;
    }
    return ERR_OK;
}
