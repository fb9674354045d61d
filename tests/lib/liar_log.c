/* Views: another log, and certificates that fit it. */
#include <sodium.h>
#include <stdlib.h>

#include "agent/crypto/sign.h"
#include "broker/store/log.h"
#include "shared/trust/credential.h"
#include "tests/lib/liar_internal.h"

#define ENTRIES_AT_ONCE 100
#define NOTIFY_LOG      1

/* ------------------------------------------------------------------ entries */

static void append(struct liar_view *view, struct bytes packed)
{
    static const uint8_t zeroes[32];
    struct view_entry *entry;

    if (view->count == view->cap) {
        view->cap = view->cap ? 2 * view->cap : 64;
        view->entries = mem_resize(view->entries, view->cap * sizeof *view->entries);
    }
    entry = &view->entries[view->count];
    entry->packed = liar_keep(view->liar, packed);
    log_digest(entry->digest, view->count ? view->entries[view->count - 1].digest : zeroes,
               entry->packed);
    view->count++;
}

void liar_view_append(struct liar_view *view, struct log_entry entry)
{
    struct buf packed = { 0 };

    entry.index = view->count;
    if (entry.ts_ms < view->ts_ms)
        entry.ts_ms = view->ts_ms;
    view->ts_ms = entry.ts_ms;
    log_entry_encode(&packed, &entry);
    append(view, buf_bytes(&packed));
    buf_free(&packed);
}

static bool follow_entry(void *ctx, uint64_t index, struct bytes packed,
                         const uint8_t digest[static 32])
{
    struct liar_view *view = ctx;
    struct log_entry entry;

    (void)digest;
    view->followed = index + 1;
    for (size_t i = 0; i < view->hidden_count; i++)
        if (view->hidden[i] == index)
            return true;
    if (log_entry_parse(packed, &entry) != ERR_OK)
        return false;
    liar_view_append(view, entry);
    return true;
}

static void follow(struct liar_view *view)
{
    struct world *world = view->liar->world;

    if (store_log_list(world->store, view->followed, 1000000, follow_entry, view) != ERR_OK)
        world_fail(world, "the log cannot be read");
}

struct liar_view *liar_view(struct liar *liar)
{
    struct liar_view *view = &liar->views[liar->view_count++];

    if (liar->view_count > LIAR_VIEWS_MAX)
        world_fail(liar->world, "too many views");
    *view = (struct liar_view){ .liar = liar };
    follow(view);
    return view;
}

void liar_view_hide(struct liar_view *view, uint64_t true_index)
{
    view->hidden[view->hidden_count++] = true_index;
}

void liar_views_free(struct liar *liar)
{
    for (size_t i = 0; i < liar->view_count; i++)
        free(liar->views[i].entries);
}

void liar_show(struct liar *liar, struct world_agent *who, struct liar_view *view)
{
    liar_mark(liar, who)->view = view;
}

void liar_log_moved(struct liar *liar, struct world_agent *who)
{
    struct message notify = { .verb = VERB_NOTIFY };

    MESSAGE_SET(&notify, kind, NOTIFY_LOG);
    liar_tell(liar, who, &notify, NULL, 0);
    world_pass(liar->world, 2000);
}

/* ------------------------------------------------------------------ certificates */

/* The newest index and head of a view, or of the truth. */
static uint64_t head_of(struct liar *liar, struct liar_view *view, uint8_t head[static 32])
{
    struct log_head truth;

    if (!view) {
        store_log_head(liar->world->store, &truth);
        memcpy(head, truth.digest, 32);
        return truth.next - 1;
    }
    follow(view);
    memcpy(head, view->entries[view->count - 1].digest, 32);
    return view->count - 1;
}

static struct bytes signed_again(struct liar *liar, struct bytes card, const uint8_t *card_sig,
                                 const struct certificate *cert)
{
    struct buf packed = { 0 }, out = { 0 };
    struct bytes kept;
    uint8_t sig[64];

    certificate_encode(&packed, cert);
    sign_labelled(sig, liar->ck_secret, LABEL_CERT, buf_bytes(&packed));
    credential_encode(&out, card, card_sig, buf_bytes(&packed), sig);
    kept = liar_keep(liar, buf_bytes(&out));
    buf_free(&packed);
    buf_free(&out);
    return kept;
}

struct bytes liar_recertify(struct liar *liar, struct liar_view *view, struct bytes credential)
{
    struct credential cred;

    if (credential_parse(credential, &cred) != ERR_OK)
        return credential;
    cred.cert.log_index = head_of(liar, view, cred.cert.log_head);
    return signed_again(liar, cred.card_packed, cred.card_sig, &cred.cert);
}

struct bytes liar_certify(struct liar *liar, struct liar_view *view, const struct liar_person *p)
{
    struct certificate cert = { .serial = 1000,
                                .nbf_ms = liar->world->now_ms - 3600000,
                                .exp_ms = liar->world->now_ms + 23 * 3600000 };

    memcpy(cert.aid, p->aid, 32);
    memcpy(cert.card_hash, p->hash, 32);
    cert.log_index = head_of(liar, view, cert.log_head);
    return signed_again(liar, p->packed, p->sig, &cert);
}

/* ------------------------------------------------------------------ what passes */

bool liar_view_ask(struct liar *liar, struct mark *mark, struct passing *passing)
{
    struct liar_view *view = mark->view;
    struct list_maker items = { 0 };
    struct message reply;

    if (!view || passing->message.verb != VERB_LOG)
        return true;
    follow(view);
    for (size_t i = passing->message.index; i < view->count && items.count < ENTRIES_AT_ONCE; i++)
        list_add_entry(&items, view->entries[i].packed);
    reply = message_reply(&passing->message);
    MESSAGE_SET(&reply, items, list_of(&items));
    MESSAGE_SET(&reply, index, view->count - 1);
    MESSAGE_SET(&reply, head, view->entries[view->count - 1].digest);
    liar_tell(liar, passing->who, &reply, NULL, 0);
    list_free(&items);
    return false;
}

static void change_requests(struct liar *liar, struct liar_view *view, struct message *message)
{
    struct list_reader reader = list_read(&message->items);
    struct list_maker made = { 0 };
    struct wire_item item;

    while (list_item(&reader, &item)) {
        if (item.shape == ITEM_BYTES_REQUEST)
            item.credential = liar_recertify(liar, view, item.credential);
        list_add_item(&made, &item);
    }
    message->items = (struct wire_list){ liar_keep(liar, buf_bytes(&made.raw)), made.count };
    list_free(&made);
}

void liar_view_change(struct liar *liar, struct mark *mark, struct passing *passing)
{
    struct message *message = &passing->message;
    uint8_t head[32];

    if (!mark->view)
        return;
    if (MESSAGE_HAS(message, credential))
        message->credential = liar_recertify(liar, mark->view, message->credential);
    if (MESSAGE_HAS(message, index) && MESSAGE_HAS(message, head)) { /* HELLO, ENROL, CARD */
        message->index = head_of(liar, mark->view, head);
        message->head = liar_copy(liar, bytes_of(head, 32));
    }
    if (message->verb == VERB_DELIVER)
        change_requests(liar, mark->view, message);
}
