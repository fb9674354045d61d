/* liar_internal - what the files of the liar share. */
#ifndef TESTS_LIAR_INTERNAL_H
#define TESTS_LIAR_INTERNAL_H
#include "tests/lib/liar.h"
#include "tests/lib/world_internal.h"

enum { LIAR_VIEWS_MAX = 4, LIAR_VERBS = 128 };

struct kept {
    struct kept *next;
    uint8_t bytes[];
};

/* An agent as the liar sees it. */
struct mark {
    struct world_agent *who;
    unsigned said[LIAR_VERBS];
    bool mailbox; /* it is the liar's */
    struct liar_item *items;
    size_t item_count, item_cap;
    uint64_t newest;           /* true position of the last one kept */
    uint64_t position, cursor; /* of the liar's mailbox: last delivered, acknowledged */
    struct liar_receipt *receipts;
    size_t receipt_count, receipt_cap;
    struct liar_view *view;
};

struct view_entry {
    struct bytes packed;
    uint8_t digest[32];
};

struct liar_view {
    struct liar *liar;
    struct view_entry *entries;
    size_t count, cap;
    uint64_t ts_ms, followed; /* of the true log: entries looked at */
    uint64_t hidden[8];
    size_t hidden_count;
};

struct liar {
    struct world *world;
    uint8_t ck[32], ck_secret[64];
    struct kept *kept;
    liar_rule *rule;
    void *rule_ctx;
    struct mark marks[WORLD_AGENTS_MAX];
    size_t mark_count;
    struct liar_view views[LIAR_VIEWS_MAX];
    size_t view_count;
    uint32_t rid; /* of the newest request made up */
    bool answered;
    struct passing answer;
};

struct mark *liar_mark(struct liar *liar, struct world_agent *who);

/* liar_log.c: what `who` is shown in the place of the truth.  False: the liar has answered. */
bool liar_view_ask(struct liar *liar, struct mark *mark, struct passing *passing);
void liar_view_change(struct liar *liar, struct mark *mark, struct passing *passing);
void liar_views_free(struct liar *liar);

/* liar_mail.c: likewise its mailbox. */
bool liar_mail_ask(struct liar *liar, struct mark *mark, struct passing *passing);
bool liar_mail_change(struct liar *liar, struct mark *mark, struct passing *passing);
#endif
