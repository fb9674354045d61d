/*
 * directory - agents and cards.  All agents are in memory, found by number, id, name or transport
 * key; a turn that changed them and failed reads them again.
 */
#include "broker/store/directory.h"

#include <sodium.h>
#include <stdlib.h>

#include "broker/store/inside.h"
#include "shared/trust/identity.h"

#define STATEMENTS(X)                                                                              \
    X(ALL, "SELECT a.agent_id, a.id, a.name, a.identity_key, a.circles, a.state, a.card_gen,"      \
           " a.enrolled_ms, a.seen_ms, a.revoked_ms, a.quota_frames, a.quota_bytes,"               \
           " s.stream_id, c.hash, c.transport_key, c.card"                                         \
           " FROM agent a JOIN stream s ON s.agent_id = a.agent_id"                                \
           " JOIN card c ON c.agent_id = a.agent_id AND c.gen = a.card_gen ORDER BY a.agent_id")   \
    X(ADD, "INSERT INTO agent (agent_id, id, name, identity_key, circles, state, card_gen,"        \
           " enrolled_ms, seen_ms) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?7)")                    \
    X(ADD_CARD, "INSERT INTO card (agent_id, gen, hash, transport_key, card, sig, stored_ms)"      \
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                            \
    X(SET_GEN, "UPDATE agent SET card_gen = ?2 WHERE agent_id = ?1")                               \
    X(REVOKE, "UPDATE agent SET state = 2, revoked_ms = ?2 WHERE agent_id = ?1")                   \
    X(SEEN, "UPDATE agent SET seen_ms = ?2 WHERE agent_id = ?1")                                   \
    X(CARD, "SELECT gen, hash, transport_key, sig, stored_ms, card, agent_id FROM card"            \
            " WHERE agent_id = ?1 AND gen = ?2")                                                   \
    X(CARD_BEFORE, "SELECT gen, hash, transport_key, sig, stored_ms, card, agent_id FROM card"     \
                   " WHERE agent_id = ?1 AND gen < ?2 ORDER BY gen DESC LIMIT 1")                  \
    X(CARD_BY_HASH, "SELECT gen, hash, transport_key, sig, stored_ms, card, agent_id FROM card"    \
                    " WHERE hash = ?1")
STATEMENT_TABLE(STATEMENTS)

struct place {
    struct row row; /* keyed hash of what is looked for */
    struct agent_row *agent;
};

struct directory {
    sqlite3_stmt *stmt[STMT_COUNT];
    struct agent_row **agent; /* owned; ascending agent_id */
    size_t count, cap;
    struct rows by_id, by_aid, by_name, by_key;
    uint8_t hash_key[2][crypto_shorthash_KEYBYTES]; /* names and keys are chosen by strangers */
    bool changed;                                   /* in this turn */
};

/* ---- memory
 * --------------------------------------------------------------------------------------- */

static void hash_of(const struct directory *d, struct bytes of, int64_t *a, int64_t *b)
{
    uint8_t out[crypto_shorthash_BYTES];

    crypto_shorthash(out, of.at, of.len, d->hash_key[0]);
    *a = (int64_t)get_u64(out);
    crypto_shorthash(out, of.at, of.len, d->hash_key[1]);
    *b = (int64_t)get_u64(out);
}

static struct agent_row *find(const struct directory *d, const struct rows *rows, struct bytes of)
{
    int64_t a, b;
    const struct place *place;

    hash_of(d, of, &a, &b);
    place = rows_find(rows, a, b);
    return place ? place->agent : NULL;
}

static void enter(struct directory *d, struct rows *rows, struct bytes of, struct agent_row *agent)
{
    int64_t a, b;
    struct place *place;

    hash_of(d, of, &a, &b);
    place = rows_find(rows, a, b);
    if (!place)
        place = rows_add(rows, a, b);
    place->agent = agent;
}

static void leave(struct directory *d, struct rows *rows, struct bytes of)
{
    int64_t a, b;

    hash_of(d, of, &a, &b);
    rows_remove(rows, a, b);
}

static struct bytes key_of(const uint8_t *key)
{
    return bytes_of(key, 32);
}

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(size);

    memcpy(copy, text, size);
    return copy;
}

/* Copies the row and its circles. */
static void enter_agent(struct directory *d, const struct agent_row *from)
{
    struct agent_row *agent = mem_alloc(sizeof *agent);
    struct place *place = rows_add(&d->by_id, from->agent_id, 0);

    *agent = *from;
    agent->circles = copy_text(from->circles);
    if (d->count == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 64;
        d->agent = mem_resize(d->agent, d->cap * sizeof(struct agent_row *));
    }
    d->agent[d->count++] = agent;
    place->agent = agent;
    enter(d, &d->by_aid, key_of(agent->aid), agent);
    if (agent->state == AGENT_ACTIVE) {
        enter(d, &d->by_name, bytes_of_text(agent->name), agent);
        enter(d, &d->by_key, key_of(agent->transport_key), agent);
    }
}

static void empty(struct directory *d)
{
    rows_clear(&d->by_id);
    rows_clear(&d->by_aid);
    rows_clear(&d->by_name);
    rows_clear(&d->by_key);
    for (size_t i = 0; i < d->count; i++) {
        free((char *)d->agent[i]->circles);
        free(d->agent[i]);
    }
    d->count = 0;
}

static enum err load(struct store *store)
{
    struct directory *d = store->directory;
    sqlite3_stmt *stmt = d->stmt[STMT_ALL];
    enum err e;

    empty(d);
    while ((e = stmt_step(store->db, stmt)) == ERR_OK) {
        struct agent_row a = { .agent_id = column_int(stmt, 0) };
        char circles[CIRCLES_TEXT_SIZE];
        struct card card;

        a.circles = circles;
        column_copy(stmt, 1, a.aid, sizeof a.aid);
        column_text(stmt, 2, a.name, sizeof a.name);
        column_copy(stmt, 3, a.identity_key, sizeof a.identity_key);
        column_text(stmt, 4, circles, sizeof circles);
        a.state = column_int(stmt, 5) == AGENT_ACTIVE ? AGENT_ACTIVE : AGENT_REVOKED;
        a.card_gen = (uint32_t)column_u64(stmt, 6);
        a.enrolled_ms = column_u64(stmt, 7);
        a.seen_ms = column_u64(stmt, 8);
        a.revoked_ms = column_u64(stmt, 9);
        a.quota_frames = column_u64(stmt, 10);
        a.quota_bytes = column_u64(stmt, 11);
        a.mailbox = column_int(stmt, 12);
        column_copy(stmt, 13, a.card_hash, sizeof a.card_hash);
        column_copy(stmt, 14, a.transport_key, sizeof a.transport_key);
        if (card_parse(column_bytes(stmt, 15), &card) == ERR_OK)
            a.suites = card.suites;
        enter_agent(d, &a);
    }
    d->changed = false;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* ---- module
 * --------------------------------------------------------------------------------------- */

static enum err open_directory(struct store *store)
{
    struct directory *d = store->directory = mem_zeroed(1, sizeof *d);
    struct rows *rows[] = { &d->by_aid, &d->by_name, &d->by_key };
    enum err e;

    rows_init(&d->by_id, sizeof(struct place), 0);
    for (size_t i = 0; i < 3; i++)
        rows_init(rows[i], sizeof(struct place), store->seed);
    store->options.random(store->options.random_ctx, d->hash_key[0], sizeof d->hash_key);
    e = stmts_prepare(store->db, stmt_sql, STMT_COUNT, d->stmt);
    return e == ERR_OK ? load(store) : e;
}

static void close_directory(struct store *store)
{
    struct directory *d = store->directory;

    if (!d)
        return;
    stmts_finalize(d->stmt, STMT_COUNT);
    empty(d);
    free(d->agent);
    rows_wipe(&d->by_id);
    rows_wipe(&d->by_aid);
    rows_wipe(&d->by_name);
    rows_wipe(&d->by_key);
    free(d);
    store->directory = NULL;
}

static void committed_directory(struct store *store)
{
    store->directory->changed = false;
}

static void forget_directory(struct store *store)
{
    if (store->directory->changed && load(store) != ERR_OK)
        log_event(LOG_ERROR, "directory", "error=\"cannot be read again\"");
}

const struct module module_directory
    = { open_directory, close_directory, NULL, committed_directory, forget_directory };

/* ---- looking up
 * ------------------------------------------------------------------------------------ */

static struct agent_row *agent_of(struct store *store, int64_t agent_id)
{
    const struct place *place = rows_find(&store->directory->by_id, agent_id, 0);

    return place ? place->agent : NULL;
}

const struct agent_row *store_agent(struct store *store, int64_t agent_id)
{
    return agent_of(store, agent_id);
}

const struct agent_row *store_agent_by_aid(struct store *store, const uint8_t aid[static 32])
{
    return find(store->directory, &store->directory->by_aid, key_of(aid));
}

const struct agent_row *store_agent_by_name(struct store *store, struct bytes name)
{
    return find(store->directory, &store->directory->by_name, name);
}

const struct agent_row *store_agent_by_transport(struct store *store, const uint8_t tk[static 32])
{
    return find(store->directory, &store->directory->by_key, key_of(tk));
}

const struct agent_row *store_agent_at(struct store *store, size_t i)
{
    return i < store->directory->count ? store->directory->agent[i] : NULL;
}

size_t store_agent_count(struct store *store)
{
    return store->directory->count;
}

/* The next label of a text with one space between; false at its end. */
static bool next_label(const char **at, struct bytes *label)
{
    size_t len = strcspn(*at, " ");

    *label = bytes_of(*at, len);
    *at += len + ((*at)[len] == ' ');
    return len > 0;
}

bool store_agents_share_circle(const struct agent_row *a, const struct agent_row *b)
{
    const char *at = a->circles;
    struct bytes mine, yours;

    if (a->state != AGENT_ACTIVE || b->state != AGENT_ACTIVE)
        return false;
    while (next_label(&at, &mine)) {
        const char *other = b->circles;

        while (next_label(&other, &yours))
            if (bytes_equal(mine, yours))
                return true;
    }
    return false;
}

/* ---- writing
 * --------------------------------------------------------------------------------------- */

static enum err insert_card(struct store *store, int64_t agent_id, const struct agent_new *card)
{
    sqlite3_stmt *stmt = store->directory->stmt[STMT_ADD_CARD];

    bind_int(stmt, 1, agent_id);
    bind_int(stmt, 2, card->card.gen);
    bind_blob(stmt, 3, card->card_hash, 32);
    bind_blob(stmt, 4, card->card.tk, 32);
    bind_bytes(stmt, 5, card->packed);
    bind_blob(stmt, 6, card->sig, 64);
    bind_u64(stmt, 7, card->now_ms);
    return stmt_run(store->db, stmt);
}

enum err store_agent_add(struct store *store, const struct agent_new *agent, int64_t *agent_id)
{
    sqlite3_stmt *stmt = store->directory->stmt[STMT_ADD];
    struct agent_row row = { .agent_id = store->numbers.agent + 1,
                             .state = AGENT_ACTIVE,
                             .card_gen = agent->card.gen,
                             .suites = agent->card.suites,
                             .enrolled_ms = agent->now_ms,
                             .seen_ms = agent->now_ms };
    enum err e;

    store->numbers.agent++;
    memcpy(row.aid, agent->aid, 32);
    memcpy(row.name, agent->card.name, sizeof row.name);
    memcpy(row.identity_key, agent->card.ik, 32);
    memcpy(row.card_hash, agent->card_hash, 32);
    memcpy(row.transport_key, agent->card.tk, 32);
    if (strlen(agent->circles) >= CIRCLES_TEXT_SIZE)
        return ERR_MALFORMED;
    row.circles = agent->circles;

    bind_int(stmt, 1, row.agent_id);
    bind_blob(stmt, 2, row.aid, 32);
    bind_text(stmt, 3, row.name);
    bind_blob(stmt, 4, row.identity_key, 32);
    bind_text(stmt, 5, row.circles);
    bind_int(stmt, 6, row.card_gen);
    bind_u64(stmt, 7, row.enrolled_ms);
    if ((e = stmt_run(store->db, stmt)) != ERR_OK
        || (e = insert_card(store, row.agent_id, agent)) != ERR_OK
        || (e = stream_add_mailbox(store, row.agent_id, &row.mailbox)) != ERR_OK
        || (e = cursor_add(store, row.mailbox, row.agent_id, 0)) != ERR_OK)
        return e;
    store->directory->changed = true;
    enter_agent(store->directory, &row);
    *agent_id = row.agent_id;
    return ERR_OK;
}

enum err store_card_add(struct store *store, int64_t agent_id, const struct agent_new *card)
{
    struct directory *d = store->directory;
    sqlite3_stmt *stmt = d->stmt[STMT_SET_GEN];
    struct agent_row *agent = agent_of(store, agent_id);
    enum err e;

    if (!agent)
        return ERR_NOT_FOUND;
    if ((e = insert_card(store, agent_id, card)) != ERR_OK)
        return e;
    bind_int(stmt, 1, agent_id);
    bind_int(stmt, 2, card->card.gen);
    if ((e = stmt_run_change(store->db, stmt)) != ERR_OK)
        return e;
    d->changed = true;
    leave(d, &d->by_key, key_of(agent->transport_key));
    agent->card_gen = card->card.gen;
    agent->suites = card->card.suites;
    memcpy(agent->card_hash, card->card_hash, 32);
    memcpy(agent->transport_key, card->card.tk, 32);
    if (agent->state == AGENT_ACTIVE)
        enter(d, &d->by_key, key_of(agent->transport_key), agent);
    return ERR_OK;
}

enum err store_agent_revoke(struct store *store, int64_t agent_id, uint64_t now_ms)
{
    struct directory *d = store->directory;
    sqlite3_stmt *stmt = d->stmt[STMT_REVOKE];
    struct agent_row *agent = agent_of(store, agent_id);
    enum err e;

    if (!agent)
        return ERR_NOT_FOUND;
    bind_int(stmt, 1, agent_id);
    bind_u64(stmt, 2, now_ms);
    if ((e = stmt_run_change(store->db, stmt)) != ERR_OK)
        return e;
    d->changed = true;
    leave(d, &d->by_name, bytes_of_text(agent->name));
    leave(d, &d->by_key, key_of(agent->transport_key));
    agent->state = AGENT_REVOKED;
    agent->revoked_ms = now_ms;
    return ERR_OK;
}

enum err store_agent_seen(struct store *store, int64_t agent_id, uint64_t now_ms)
{
    sqlite3_stmt *stmt = store->directory->stmt[STMT_SEEN];
    struct agent_row *agent = agent_of(store, agent_id);
    enum err e;

    if (!agent)
        return ERR_NOT_FOUND;
    bind_int(stmt, 1, agent_id);
    bind_u64(stmt, 2, now_ms);
    if ((e = stmt_run_change(store->db, stmt)) == ERR_OK) {
        agent->seen_ms = now_ms;
        store->directory->changed = true;
    }
    return e;
}

/* ---- cards
 * ----------------------------------------------------------------------------------------- */

static enum err read_card(struct store *store, sqlite3_stmt *stmt, int64_t *agent_id,
                          struct card_row *out)
{
    enum err e = stmt_step(store->db, stmt);
    struct bytes card;

    if (e != ERR_OK)
        return e;
    card = column_bytes(stmt, 5);
    out->gen = (uint32_t)column_u64(stmt, 0);
    column_copy(stmt, 1, out->hash, sizeof out->hash);
    column_copy(stmt, 2, out->transport_key, sizeof out->transport_key);
    column_copy(stmt, 3, out->sig, sizeof out->sig);
    out->stored_ms = column_u64(stmt, 4);
    out->len = card.len;
    if (card.len > sizeof out->card)
        e = ERR_STORE;
    else
        memcpy(out->card, card.at, card.len);
    if (agent_id)
        *agent_id = column_int(stmt, 6);
    stmt_end(stmt);
    return e;
}

enum err store_card_get(struct store *store, int64_t agent_id, uint32_t gen, struct card_row *out)
{
    sqlite3_stmt *stmt = store->directory->stmt[STMT_CARD];
    const struct agent_row *agent = agent_of(store, agent_id);

    if (!agent)
        return ERR_NOT_FOUND;
    bind_int(stmt, 1, agent_id);
    bind_int(stmt, 2, gen ? gen : agent->card_gen);
    return read_card(store, stmt, NULL, out);
}

enum err store_card_before(struct store *store, int64_t agent_id, uint32_t gen,
                           struct card_row *out)
{
    sqlite3_stmt *stmt = store->directory->stmt[STMT_CARD_BEFORE];

    bind_int(stmt, 1, agent_id);
    bind_int(stmt, 2, gen);
    return read_card(store, stmt, NULL, out);
}

enum err store_card_by_hash(struct store *store, const uint8_t hash[static 32], int64_t *agent_id,
                            struct card_row *out)
{
    sqlite3_stmt *stmt = store->directory->stmt[STMT_CARD_BY_HASH];

    bind_blob(stmt, 1, hash, 32);
    return read_card(store, stmt, agent_id, out);
}
