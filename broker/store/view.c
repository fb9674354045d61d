/*
 * view - the views of schema/broker/views.sql, row by row, as text.
 */
#include <stdio.h>

#include "broker/store/inside.h"

#define COLUMNS_MOST 32

/* Our own words only: nothing a peer says ever becomes SQL. */
static bool plain_word(const char *word, size_t most)
{
    return strlen(word) < most && word[strspn(word, "abcdefghijklmnopqrstuvwxyz_0123456789")] == 0;
}

static void build(char *sql, size_t size, const char *view, const char *where, const char *order_by)
{
    int len = snprintf(sql, size, "SELECT * FROM %s", view);

    if (where)
        len += snprintf(sql + len, size - (size_t)len, " WHERE \"%s\" = ?1", where);
    if (order_by)
        len += snprintf(sql + len, size - (size_t)len, " ORDER BY \"%s\"", order_by);
    snprintf(sql + len, size - (size_t)len, " LIMIT ?2");
}

enum err store_view(struct store *store, const char *view, const char *where, const char *value,
                    const char *order_by, uint64_t max, store_view_row *row, void *ctx)
{
    const char *names[COLUMNS_MOST], *values[COLUMNS_MOST];
    char sql[256];
    const char *text = sql;
    sqlite3_stmt *stmt = NULL;
    int count;
    enum err e;

    if (!plain_word(view, 32) || (where && !plain_word(where, 32))
        || (order_by && !plain_word(order_by, 32)))
        return ERR_MALFORMED;
    if (db_in_transaction(store->db) && (e = store_flush(store)) != ERR_OK)
        return e;
    build(sql, sizeof sql, view, where, order_by);
    if ((e = stmts_prepare(store->db, &text, 1, &stmt)) != ERR_OK)
        return e;
    if (where)
        bind_text(stmt, 1, value);
    bind_int(stmt, 2, max > INT64_MAX ? INT64_MAX : (int64_t)max);
    count = sqlite3_column_count(stmt);
    if (count > COLUMNS_MOST)
        count = COLUMNS_MOST;
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        for (int i = 0; i < count; i++) {
            names[i] = sqlite3_column_name(stmt, i);
            values[i] = (const char *)sqlite3_column_text(stmt, i);
        }
        if (!row(ctx, count, names, values))
            break;
    }
    stmts_finalize(&stmt, 1);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
