#include "broker/store/enrol_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/store/inside.h"
#include "broker/store/log.h"
#include "shared/base/files.h"
#include "shared/trust/identity.h"

#define FILE_MAX_SIZE (UINT32_C(1) << 30)
#define RECORD_MAX    (2 + LOG_ENTRY_MAX + 2 + CARD_MAX + 64 + 8)

struct enrol_file {
    int fd;
    off_t size, committed;
};

static enum err open_file(struct store *store)
{
    struct enrol_file *f = store->enrol = mem_zeroed(1, sizeof *f);

    f->fd = openat(store->dir_fd, "enrol.log",
                   O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    return f->fd >= 0 ? ERR_OK : ERR_IO;
}

void enrol_log_close(struct store *store)
{
    if (!store->enrol)
        return;
    if (store->enrol->fd >= 0)
        close(store->enrol->fd);
    free(store->enrol);
    store->enrol = NULL;
}

static int64_t check_of(struct store *store, const uint8_t *at, size_t len)
{
    sum_begin(store, "enrol.log");
    sum_blob(store, at, len);
    return sum_end(store);
}

static void encode(struct store *store, struct buf *out, const struct enrol_record *record)
{
    size_t sig = record->card.len ? 64 : 0;
    size_t len = 2 + record->entry.len + 2 + record->card.len + sig;
    uint8_t *at = buf_extend(out, 4 + len + 8);
    uint8_t *begin = at + 4;

    put_u32(at, (uint32_t)(len + 8));
    at = put_u16(begin, (uint16_t)record->entry.len);
    at = put_raw(at, record->entry.at, record->entry.len);
    at = put_u16(at, (uint16_t)record->card.len);
    if (sig) {
        at = put_raw(at, record->card.at, record->card.len);
        at = put_raw(at, record->card_sig, sig);
    }
    put_u64(at, (uint64_t)check_of(store, begin, len));
}

/* The next whole, sound record; false: the good part of the file ends before `*at`. */
static bool decode(struct store *store, const uint8_t **at, const uint8_t *end,
                   struct enrol_record *out)
{
    const uint8_t *from = *at;
    size_t left = (size_t)(end - from), len, entry, card;

    if (left < 4 || (len = get_u32(from)) > RECORD_MAX || len < 12 || left - 4 < len)
        return false;
    from += 4;
    if ((int64_t)get_u64(from + len - 8) != check_of(store, from, len - 8))
        return false;
    entry = get_u16(from);
    if (entry + 12 > len)
        return false;
    card = get_u16(from + 2 + entry);
    if (len != 2 + entry + 2 + card + (card ? 64 : 0) + 8)
        return false;
    out->entry = bytes_of(from + 2, entry);
    out->card = bytes_of(from + 4 + entry, card);
    out->card_sig = card ? from + 4 + entry + card : NULL;
    *at = from + len;
    return true;
}

static enum err write_bytes(struct enrol_file *f, struct bytes bytes)
{
    while (bytes.len) {
        ssize_t n = write(f->fd, bytes.at, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == ENOSPC || errno == EDQUOT ? ERR_STORE_FULL : ERR_STORE;
        f->size += n;
        bytes.at += n;
        bytes.len -= (size_t)n;
    }
    return ERR_OK;
}

enum err enrol_log_append(struct store *store, const struct enrol_record *record)
{
    struct buf bytes = { 0 };
    enum err e;

    if (!store->enrol) /* in memory */
        return ERR_OK;
    encode(store, &bytes, record);
    e = write_bytes(store->enrol, buf_bytes(&bytes));
    buf_free(&bytes);
    if (e == ERR_OK && fdatasync(store->enrol->fd) != 0) {
        log_event(LOG_ERROR, "enrol_log", "error=\"cannot be flushed\"");
        e = ERR_STORE;
    }
    return e;
}

void enrol_log_committed(struct store *store)
{
    if (store->enrol)
        store->enrol->committed = store->enrol->size;
}

void enrol_log_forget(struct store *store)
{
    struct enrol_file *f = store->enrol;

    if (!f || f->size == f->committed)
        return;
    /* If this fails the entry counts at the next start: it was never answered, but it is sound. */
    if (ftruncate(f->fd, f->committed) != 0 || fdatasync(f->fd) != 0)
        log_event(LOG_ERROR, "enrol_log", "error=\"cannot be cut back\"");
    f->size = f->committed;
}

/* ---- replay
 * --------------------------------------------------------------------------------------- */

/* "a b c" from the extra of an ENROL entry. */
static enum err circles_text(struct bytes extra, char out[static CIRCLES_TEXT_SIZE])
{
    struct circles circles;
    enum err e = circles_parse(extra, &circles);
    size_t len = 0;

    for (size_t i = 0; e == ERR_OK && i < circles.count; i++) {
        if (i)
            out[len++] = ' ';
        memcpy(out + len, circles.label[i].at, circles.label[i].len);
        len += circles.label[i].len;
    }
    out[len] = 0;
    return e;
}

static enum err put_back_card(struct store *store, const struct log_entry *entry,
                              const struct enrol_record *record, int64_t *agent_id)
{
    char circles[CIRCLES_TEXT_SIZE] = "";
    struct agent_new agent = {
        .packed = record->card, .sig = record->card_sig, .circles = circles, .now_ms = entry->ts_ms
    };
    enum err e;

    if (!record->card_sig)
        return ERR_STORE;
    if ((e = card_verify(record->card, record->card_sig, &agent.card)) != ERR_OK)
        return e;
    aid_of(agent.aid, agent.card.ik);
    card_hash(agent.card_hash, record->card);
    if (memcmp(agent.aid, entry->aid, 32) != 0
        || memcmp(agent.card_hash, entry->card_hash, 32) != 0)
        return ERR_STORE;
    if (entry->type == ENTRY_CARD)
        return store_card_add(store, *agent_id, &agent);
    e = circles_text(entry->extra, circles);
    return e == ERR_OK ? store_agent_add(store, &agent, agent_id) : e;
}

static enum err put_back(struct store *store, const struct enrol_record *record)
{
    struct log_entry entry;
    const struct agent_row *agent;
    int64_t agent_id;
    enum err e = log_entry_parse(record->entry, &entry);

    if (e != ERR_OK)
        return e;
    agent = store_agent_by_aid(store, entry.aid);
    agent_id = agent ? agent->agent_id : 0;
    if ((entry.type == ENTRY_ENROL) == (agent != NULL))
        return ERR_STORE;
    e = entry.type == ENTRY_REVOKE ? store_agent_revoke(store, agent_id, entry.ts_ms)
                                   : put_back_card(store, &entry, record, &agent_id);
    if (e == ERR_OK)
        e = log_insert(store, record->entry, agent_id);
    if (e == ERR_OK)
        log_event(LOG_WARN, "log_put_back", "index=%llu name=%s", (unsigned long long)entry.index,
                  entry.name);
    return e;
}

/* Follows the file's chain; entries that the table has must be the same ones. */
static enum err read_file(struct store *store, struct bytes file, off_t *good,
                          struct log_head *in_file)
{
    const uint8_t *at = file.at, *end = file.at + file.len;
    struct log_head table;
    struct enrol_record record;
    struct log_entry entry;
    enum err e;

    store_log_head(store, &table);
    while (at < end && decode(store, &at, end, &record)) {
        if (log_head_append(in_file, record.entry, &entry) != ERR_OK)
            return ERR_STORE;
        if (in_file->next == table.next && memcmp(in_file->digest, table.digest, 32) != 0)
            return ERR_STORE;
        if (in_file->next > table.next && (e = put_back(store, &record)) != ERR_OK)
            return e == ERR_STORE_FULL ? e : ERR_STORE;
        *good = at - file.at;
    }
    return ERR_OK;
}

struct refill {
    struct store *store;
    enum err err;
};

static bool refill_one(void *ctx, uint64_t index, struct bytes packed,
                       const uint8_t digest[static 32])
{
    struct refill *refill = ctx;
    struct enrol_record record = { .entry = packed };
    struct log_entry entry;
    struct card_row card;

    (void)index;
    (void)digest;
    if (log_entry_parse(packed, &entry) == ERR_OK && entry.type != ENTRY_REVOKE
        && store_card_by_hash(refill->store, entry.card_hash, NULL, &card) == ERR_OK) {
        record.card = bytes_of(card.card, card.len);
        record.card_sig = card.sig;
    }
    refill->err = enrol_log_append(refill->store, &record);
    return refill->err == ERR_OK;
}

enum err enrol_log_replay(struct store *store)
{
    struct buf file = { 0 };
    struct log_head in_file = { 0 }, table;
    struct refill refill = { store, ERR_OK };
    off_t good = 0;
    enum err e;

    if (store->in_memory)
        return ERR_OK;
    e = file_read_secret(store->dir_fd, "enrol.log", FILE_MAX_SIZE, &file);
    if (e == ERR_OK)
        e = read_file(store, buf_bytes(&file), &good, &in_file);
    else if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    if (e == ERR_STORE)
        log_event(LOG_ERROR, "enrol_log", "error=\"differs from the database\" entry=%llu",
                  (unsigned long long)in_file.next);
    if (e == ERR_OK && (e = open_file(store)) == ERR_OK) {
        if ((size_t)good < file.len) {
            log_event(LOG_WARN, "enrol_log", "cut=%zu", file.len - (size_t)good);
            if (file.len - (size_t)good > 4 + RECORD_MAX) /* more than a torn end: keep it */
                e = file_write(store->dir_fd, "enrol.log.damaged", 0600, buf_bytes(&file));
            if (e == ERR_OK && ftruncate(store->enrol->fd, good) != 0)
                e = ERR_IO;
        }
        store->enrol->size = store->enrol->committed = good;
    }
    buf_free(&file);
    store_log_head(store, &table);
    if (e == ERR_OK && in_file.next < table.next) {
        e = store_log_list(store, in_file.next, UINT32_MAX, refill_one, &refill);
        if (e == ERR_OK)
            e = refill.err;
        enrol_log_committed(store);
    }
    return e;
}
