/*
 * cover - do the receipts of an ACK cover its items exactly (docs/protocol.md 6.4)?
 *
 * One pass: open with the receipts, feed every item in order of position, close.  One SHA-256 block
 * an item, nothing else; signatures were checked before (request_precheck).
 * Errors   ERR_RECEIPT.
 */
#ifndef BROKER_COVER_H
#define BROKER_COVER_H
#include "broker/flow/flow_internal.h"
#include "shared/trust/receipt.h"

enum { COVERS_MOST = 64 };

struct cover {
    struct receipt receipt;
    const uint8_t *preimage, *sig; /* borrowed from the ACK */
    int64_t scope_id, sender_id;   /* 0: the cursor receipt */
    bool is_extra;                 /* of a channel: informs its frames' author, covers nothing */
    uint64_t next; /* number that must come next; cursor receipt, extra: the last that came */
    bool only_tombstones;
    struct range_digest range;
};

struct covers {
    struct cover at[COVERS_MOST];
    size_t count;
    struct cover *cursor;      /* NULL: there is none */
    struct cover *recent;      /* the last item's: most often the next one's, too */
    const struct group *group; /* whose channel; NULL: a mailbox */
};

/* `reader` is the one who says ACK; `group`: of its channel, NULL: of its mailbox. */
enum err covers_open(struct covers *covers, struct flow *flow, const struct requester *reader,
                     const struct group *group, const struct wire_list *receipts);
enum err covers_add(struct covers *covers, const struct frame_row *row);
enum err covers_close(struct covers *covers);

#endif
