#include "broker/flow/shelf.h"

#include <stddef.h>
#include <stdlib.h>

#include "broker/store/store.h"

enum { SLICES = 64, SLICE_ROWS = 256, SLICE_BYTES = 1 << 20, SHELF_BYTES = 16 << 20 };

/* Every row of the stream with from < position <= to. */
struct slice {
    int64_t stream_id; /* 0: free */
    uint64_t from, to;
    uint64_t used; /* when it was last asked for */
    size_t count, bytes;
    struct frame_row *rows; /* SLICE_ROWS of them; their bytes are kept for all */
};

struct shelf {
    struct slice slices[SLICES];
    struct slice *recent;
    uint64_t uses, rollbacks;
    size_t bytes;
};

struct shared_bytes *shelf_shared(const struct frame_row *row)
{
    return (struct shared_bytes *)(uintptr_t)(row->frame.at - offsetof(struct shared_bytes, at));
}

static void slice_clear(struct shelf *shelf, struct slice *slice)
{
    shelf->bytes -= slice->bytes;
    for (size_t i = 0; i < slice->count; i++)
        shared_drop(shelf_shared(&slice->rows[i]));
    free(slice->rows);
    *slice = (struct slice){ 0 };
    if (shelf->recent == slice)
        shelf->recent = NULL;
}

static void shelf_clear(struct shelf *shelf)
{
    for (size_t i = 0; i < SLICES; i++)
        if (shelf->slices[i].stream_id)
            slice_clear(shelf, &shelf->slices[i]);
}

void shelf_free(struct flow *flow)
{
    if (flow->shelf)
        shelf_clear(flow->shelf);
    free(flow->shelf);
    flow->shelf = NULL;
}

/* Positions of a turn that was rolled back are given out again. */
static struct shelf *shelf_of(struct flow *flow)
{
    if (!flow->shelf) {
        flow->shelf = mem_zeroed(1, sizeof *flow->shelf);
        flow->shelf->rollbacks = store_rollbacks(flow->store);
    }
    if (flow->shelf->rollbacks != store_rollbacks(flow->store)) {
        shelf_clear(flow->shelf);
        flow->shelf->rollbacks = store_rollbacks(flow->store);
    }
    return flow->shelf;
}

void shelf_forget(struct flow *flow, int64_t stream_id)
{
    for (size_t i = 0; flow->shelf && i < SLICES; i++)
        if (flow->shelf->slices[i].stream_id == stream_id)
            slice_clear(flow->shelf, &flow->shelf->slices[i]);
}

void shelf_trimmed(struct flow *flow, int64_t stream_id, uint64_t upto)
{
    for (size_t i = 0; flow->shelf && i < SLICES; i++) {
        struct slice *slice = &flow->shelf->slices[i];

        if (slice->stream_id != stream_id || slice->from >= upto)
            continue;
        if (slice->to <= upto)
            slice_clear(flow->shelf, slice);
        else
            slice->from = upto;
    }
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool slice_has(const struct slice *slice, int64_t stream_id, uint64_t after)
{
    return slice->stream_id == stream_id && slice->from <= after && after < slice->to;
}

/* The slice that holds what comes behind `after`. */
static struct slice *slice_find(struct shelf *shelf, int64_t stream_id, uint64_t after)
{
    struct slice *found = NULL;

    if (shelf->recent && slice_has(shelf->recent, stream_id, after))
        found = shelf->recent;
    for (size_t i = 0; !found && i < SLICES; i++)
        if (slice_has(&shelf->slices[i], stream_id, after))
            found = &shelf->slices[i];
    if (found) {
        found->used = ++shelf->uses;
        shelf->recent = found;
    }
    return found;
}

/* Its first row behind `after`. */
static size_t slice_first(const struct slice *slice, uint64_t after)
{
    size_t low = 0, high = slice->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (slice->rows[middle].position <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct visiting {
    store_frame_visit *row;
    void *ctx;
    uint64_t after, upto, left;
    bool facts_only, ended;
};

/* Shows the rows of a slice; `after` follows. */
static void slice_show(const struct slice *slice, struct visiting *visiting)
{
    for (size_t i = slice_first(slice, visiting->after);
         i < slice->count && visiting->left && !visiting->ended; i++) {
        struct frame_row row = slice->rows[i];

        if (row.position > visiting->upto) {
            visiting->ended = true;
            return;
        }
        if (visiting->facts_only)
            row.frame = (struct bytes){ 0 };
        visiting->after = row.position;
        visiting->left--;
        visiting->ended = !visiting->row(visiting->ctx, &row);
    }
}

/* ---- filling --------------------------------------------------------------------------------- */

static struct slice *slice_free(struct shelf *shelf)
{
    for (size_t i = 0; i < SLICES; i++)
        if (!shelf->slices[i].stream_id)
            return &shelf->slices[i];
    return NULL;
}

static struct slice *slice_oldest(struct shelf *shelf)
{
    struct slice *oldest = NULL;

    for (size_t i = 0; i < SLICES; i++)
        if (shelf->slices[i].stream_id && (!oldest || shelf->slices[i].used < oldest->used))
            oldest = &shelf->slices[i];
    return oldest;
}

static struct slice *slice_place(struct shelf *shelf)
{
    struct slice *place;

    while (!(place = slice_free(shelf)) || shelf->bytes > SHELF_BYTES)
        slice_clear(shelf, slice_oldest(shelf));
    return place;
}

/* The slice that goes on behind `after`, or a new one. */
static struct slice *slice_to_fill(struct shelf *shelf, int64_t stream_id, uint64_t after)
{
    struct slice *slice;

    for (size_t i = 0; i < SLICES; i++) {
        slice = &shelf->slices[i];
        if (slice->stream_id == stream_id && slice->to == after && slice->count < SLICE_ROWS
            && slice->bytes < SLICE_BYTES)
            return slice;
    }
    slice = slice_place(shelf);
    *slice = (struct slice){ .stream_id = stream_id, .from = after, .to = after };
    slice->rows = mem_alloc(SLICE_ROWS * sizeof *slice->rows);
    return slice;
}

struct filling {
    struct slice *slice;
    bool damaged; /* the next row is: nobody keeps it */
    struct frame_row bad;
};

static bool fill_row(void *ctx, const struct frame_row *row)
{
    struct filling *filling = ctx;
    struct slice *slice = filling->slice;
    struct shared_bytes *kept;

    if (row->damaged) {
        filling->damaged = true;
        filling->bad = *row;
        return false;
    }
    if (slice->count && slice->bytes + row->frame.len > SLICE_BYTES)
        return false;
    kept = shared_new(row->frame);
    slice->rows[slice->count] = *row;
    slice->rows[slice->count++].frame = bytes_of(kept->at, kept->len);
    slice->bytes += kept->len;
    slice->to = row->position;
    return slice->count < SLICE_ROWS;
}

static enum err slice_fill(struct flow *flow, struct shelf *shelf, struct filling *filling)
{
    struct slice *slice = filling->slice;
    size_t before = slice->bytes;
    enum err e = store_frame_fetch(flow->store, slice->stream_id, slice->to,
                                   SLICE_ROWS - slice->count, fill_row, filling);

    shelf->bytes += slice->bytes - before;
    slice->used = ++shelf->uses;
    if (e != ERR_OK || slice->count == 0)
        slice_clear(shelf, slice);
    return e;
}

enum err shelf_fetch(struct flow *flow, int64_t stream_id, uint64_t after, uint64_t max,
                     store_frame_visit *row, void *ctx)
{
    struct shelf *shelf = shelf_of(flow);
    struct visiting visiting
        = { .row = row, .ctx = ctx, .after = after, .upto = UINT64_MAX, .left = max };
    struct stream_row stream;
    enum err e = store_stream_get(flow->store, stream_id, &stream);

    while (e == ERR_OK && visiting.left && !visiting.ended
           && visiting.after < stream.last_position) {
        struct slice *slice = slice_find(shelf, stream_id, visiting.after);
        struct filling filling = { .slice = slice };
        uint64_t before = visiting.after;

        if (!slice) {
            filling.slice = slice_to_fill(shelf, stream_id, visiting.after);
            e = slice_fill(flow, shelf, &filling);
            slice = e == ERR_OK ? slice_find(shelf, stream_id, visiting.after) : NULL;
        }
        if (slice)
            slice_show(slice, &visiting);
        else if (e == ERR_OK && filling.damaged)
            row(ctx, &filling.bad);
        if (visiting.after == before)
            break;
    }
    return e;
}

enum err shelf_list(struct flow *flow, int64_t stream_id, uint64_t after, uint64_t upto,
                    uint64_t max, store_frame_visit *row, void *ctx)
{
    struct shelf *shelf = shelf_of(flow);
    struct visiting visiting
        = { .row = row, .ctx = ctx, .after = after, .upto = upto, .left = max, .facts_only = true };
    struct slice *slice;

    while (visiting.left && !visiting.ended && visiting.after < upto
           && (slice = slice_find(shelf, stream_id, visiting.after)))
        slice_show(slice, &visiting);
    if (visiting.left && !visiting.ended && visiting.after < upto)
        return store_frame_list(flow->store, stream_id, visiting.after, upto, visiting.left, row,
                                ctx);
    return ERR_OK;
}
