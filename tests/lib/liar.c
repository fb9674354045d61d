/* The liar between broker and agents: rules, and messages that nobody wrote. */
#include "tests/lib/liar.h"

#include <stdlib.h>

#include "agent/crypto/sign.h"
#include "tests/lib/liar_internal.h"

#define MADE_UP_RIDS 0x70000000u /* agents do not come so far */

/* ------------------------------------------------------------------ memory, marks */

uint8_t *liar_copy(struct liar *liar, struct bytes bytes)
{
    struct kept *kept = mem_alloc(sizeof *kept + bytes.len + 1);

    kept->next = liar->kept;
    liar->kept = kept;
    if (bytes.len)
        memcpy(kept->bytes, bytes.at, bytes.len);
    return kept->bytes;
}

struct bytes liar_keep(struct liar *liar, struct bytes bytes)
{
    return bytes_of(liar_copy(liar, bytes), bytes.len);
}

struct mark *liar_mark(struct liar *liar, struct world_agent *who)
{
    for (size_t i = 0; i < liar->mark_count; i++)
        if (liar->marks[i].who == who)
            return &liar->marks[i];
    liar->marks[liar->mark_count] = (struct mark){ .who = who, .position = UINT64_C(1) << 40 };
    return &liar->marks[liar->mark_count++];
}

unsigned liar_count(const struct liar *liar, const struct world_agent *who, enum verb verb)
{
    for (size_t i = 0; i < liar->mark_count; i++)
        if (liar->marks[i].who == who)
            return liar->marks[i].said[verb];
    return 0;
}

/* ------------------------------------------------------------------ what passes */

static bool read_passing(const struct trip *trip, struct passing *out)
{
    const uint8_t *at = trip->body.at;

    out->who = trip->who;
    out->to_agent = trip->kind == TRIP_TO_AGENT;
    out->part_count = trip->part_count;
    for (size_t i = 0; i < trip->part_count; i++) {
        out->parts[i] = bytes_of(at, trip->part_len[i]);
        at += trip->part_len[i];
    }
    return message_decode(&out->message, buf_bytes(&trip->head), trip->part_count,
                          out->to_agent ? FROM_BROKER : FROM_AGENT)
           == ERR_OK;
}

/* The parts may lie in what is replaced. */
static void write_passing(struct trip *trip, const struct passing *passing)
{
    struct buf head = { 0 }, body = { 0 };

    message_encode(&passing->message, &head);
    trip->part_count = passing->part_count;
    for (size_t i = 0; i < passing->part_count; i++) {
        buf_append(&body, passing->parts[i].at, passing->parts[i].len);
        trip->part_len[i] = (uint32_t)passing->parts[i].len;
    }
    buf_free(&trip->head);
    buf_free(&trip->body);
    trip->head = head;
    trip->body = body;
}

static void keep_answer(struct liar *liar, const struct trip *trip)
{
    struct trip kept = *trip;

    kept.head.at = liar_copy(liar, buf_bytes(&trip->head));
    kept.body.at = liar_copy(liar, buf_bytes(&trip->body));
    liar->answered = read_passing(&kept, &liar->answer);
}

static bool between(void *ctx, struct trip *trip)
{
    struct liar *liar = ctx;
    struct passing passing;
    struct mark *mark;

    if (!trip->who || !read_passing(trip, &passing))
        return true;
    if (passing.to_agent && passing.message.rid >= MADE_UP_RIDS) {
        if (passing.message.rid == liar->rid)
            keep_answer(liar, trip);
        return false;
    }
    mark = liar_mark(liar, trip->who);
    if (!passing.to_agent)
        mark->said[passing.message.verb]++;
    if (liar->rule && !liar->rule(liar->rule_ctx, liar, &passing))
        return false;
    if (passing.to_agent) {
        if (!liar_mail_change(liar, mark, &passing))
            return false;
        liar_view_change(liar, mark, &passing);
    } else if (!liar_view_ask(liar, mark, &passing) || !liar_mail_ask(liar, mark, &passing)) {
        return false;
    }
    write_passing(trip, &passing);
    return true;
}

void liar_set_rule(struct liar *liar, liar_rule *rule, void *ctx)
{
    liar->rule = rule;
    liar->rule_ctx = ctx;
}

/* ------------------------------------------------------------------ made up */

void liar_tell(struct liar *liar, struct world_agent *who, const struct message *message,
               const struct bytes *parts, size_t count)
{
    struct buf head = { 0 };

    (void)liar;
    message_encode(message, &head);
    link_make_up(who, TRIP_TO_AGENT, buf_bytes(&head), parts, count);
    buf_free(&head);
}

static bool is_answered(struct world *world, void *ctx)
{
    (void)world;
    return ((struct liar *)ctx)->answered;
}

const struct passing *liar_ask_broker(struct liar *liar, struct world_agent *who,
                                      struct message *message, const struct bytes *parts,
                                      size_t count)
{
    struct buf head = { 0 };

    message->rid = liar->rid = liar->rid < MADE_UP_RIDS ? MADE_UP_RIDS : liar->rid + 1;
    message_encode(message, &head);
    link_make_up(who, TRIP_TO_BROKER, buf_bytes(&head), parts, count);
    buf_free(&head);
    liar->answered = false;
    if (!world_run(liar->world, 60000, is_answered, liar))
        world_fail(liar->world, "the broker does not answer %s", verb_name(message->verb));
    return &liar->answer;
}

/* ------------------------------------------------------------------ life */

const uint8_t *liar_ck_secret(const struct liar *liar)
{
    return liar->ck_secret;
}

const uint8_t *liar_ck(const struct liar *liar)
{
    return liar->ck;
}

struct liar *liar_new(struct world *world)
{
    struct liar *liar = mem_zeroed(1, sizeof *liar);
    uint8_t seed[32];

    liar->world = world;
    world_signer_seed(world, seed);
    sign_key_of_seed(liar->ck, liar->ck_secret, seed);
    world->between = between;
    world->between_ctx = liar;
    return liar;
}

void liar_free(struct liar **liar_at)
{
    struct liar *liar = *liar_at;

    liar->world->between = NULL;
    for (size_t i = 0; i < liar->mark_count; i++) {
        free(liar->marks[i].items);
        free(liar->marks[i].receipts);
    }
    liar_views_free(liar);
    while (liar->kept) {
        struct kept *kept = liar->kept;

        liar->kept = kept->next;
        free(kept);
    }
    free(liar);
    *liar_at = NULL;
}
