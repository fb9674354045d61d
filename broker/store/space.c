/*
 * space - free disk, the file's limit, the ballast; and the checkpoints that keep the log short.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "broker/store/audit.h"
#include "broker/store/inside.h"

#define WAL_BUSY_PAGES 4096 /* checkpoint even under load */
#define WAL_IDLE_PAGES 256
#define BACK_BYTES     (UINT64_C(128) << 20) /* above the floor, before we accept again */

static uint64_t wal_alarm_pages(const struct store *store)
{
    uint64_t pages = store->options.wal_alarm_bytes / DB_PAGE_SIZE;

    return pages > WAL_BUSY_PAGES ? pages : WAL_BUSY_PAGES * 4;
}

static bool make_ballast(struct store *store)
{
    int fd = openat(store->dir_fd, "ballast", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return false;
    rc = posix_fallocate(fd, 0, (off_t)store->options.ballast_bytes);
    close(fd);
    if (rc != 0)
        unlinkat(store->dir_fd, "ballast", 0);
    return rc == 0;
}

enum err space_open(struct store *store)
{
    static const char *const sql[] = { "PRAGMA page_count", "PRAGMA freelist_count" };
    bool wanted = !store->in_memory && store->options.ballast_bytes > 0;
    enum err e = stmts_prepare(store->db, sql, 2, store->pages);

    if (e != ERR_OK)
        return e;
    store->ballast_there = wanted && make_ballast(store);
    store->accepting = !wanted || store->ballast_there;
    store->accepting_written = true;
    if (!store->accepting)
        log_event(LOG_ERROR, "disk_full", "error=\"no room for the ballast\"");
    return ERR_OK;
}

void space_close(struct store *store)
{
    stmts_finalize(store->pages, 2);
}

void space_full(struct store *store)
{
    log_event(LOG_ERROR, "disk_full", "pages_max=%llu ballast=%d",
              (unsigned long long)(store->options.max_bytes / DB_PAGE_SIZE), store->ballast_there);
    store->accepting = false;
    if (store->ballast_there && unlinkat(store->dir_fd, "ballast", 0) == 0)
        store->ballast_there = false;
    db_checkpoint(store->db, DB_TRUNCATE);
}

/* Asked each second: prepared once. */
static bool number_of(struct store *store, size_t which, int64_t *out)
{
    if (stmt_step(store->db, store->pages[which]) != ERR_OK)
        return false;
    *out = column_int(store->pages[which], 0);
    stmt_end(store->pages[which]);
    return true;
}

/* Four fifths of the limit in pages that hold something; freed ones will be used again. */
static bool file_has_room(struct store *store)
{
    int64_t pages = 0, unused = 0;

    if (store->options.max_bytes == 0)
        return true;
    if (!number_of(store, 0, &pages) || !number_of(store, 1, &unused))
        return false;
    return (uint64_t)(pages - unused) <= store->options.max_bytes / DB_PAGE_SIZE / 5 * 4;
}

void store_space(struct store *store, uint64_t disk_free)
{
    uint64_t floor = store->options.disk_floor_bytes;
    uint64_t need = store->accepting ? floor : floor + BACK_BYTES;
    bool wanted = !store->in_memory && store->options.ballast_bytes > 0;
    bool fine = (disk_free == UINT64_MAX || disk_free >= need) && file_has_room(store);

    store->disk_free = disk_free;
    if (fine && wanted && !store->ballast_there)
        fine = store->ballast_there = make_ballast(store);
    if (fine != store->accepting)
        log_event(fine ? LOG_INFO : LOG_ERROR, fine ? "disk_again" : "disk_low",
                  "disk_free=%llu floor=%llu", (unsigned long long)disk_free,
                  (unsigned long long)floor);
    store->accepting = fine;
}

bool store_accepting(const struct store *store)
{
    return store->accepting;
}

/* A reader holds the log: it cannot be emptied, and grows.  We go on and say so, once. */
static enum err pinned(struct store *store)
{
    enum err e;

    if (store->pinned)
        return ERR_OK;
    store->pinned = true;
    log_event(LOG_WARN, "wal_pinned", "pages=%d", db_wal_pages(store->db));
    if ((e = db_begin(store->db)) != ERR_OK)
        return e == ERR_BUSY ? ERR_OK : e;
    e = store_audit(store, store->now_ms, "broker", "wal.pinned", "",
                    "somebody reads for too long");
    if (e == ERR_OK)
        e = db_commit(store->db);
    if (e != ERR_OK)
        db_rollback(store->db);
    return e;
}

enum err store_maintain(struct store *store, bool idle, bool *did)
{
    uint64_t pages = (uint64_t)db_wal_pages(store->db);
    enum err e;

    *did = false;
    if (store->in_memory || pages < (idle ? WAL_IDLE_PAGES : WAL_BUSY_PAGES))
        return ERR_OK;
    CRASH_POINT("ckpt.begin");
    e = db_checkpoint(store->db, DB_PASSIVE);
    CRASH_POINT("ckpt.pages");
    *did = true;
    if (e == ERR_OK && db_wal_pages(store->db) == 0) {
        store->pinned = false;
    } else if (pages >= wal_alarm_pages(store)) {
        e = db_checkpoint(store->db, DB_RESTART);
        if (e == ERR_BUSY)
            e = pinned(store);
    }
    CRASH_POINT("ckpt.end");
    return e == ERR_BUSY || e == ERR_STORE_FULL ? ERR_OK : e;
}
