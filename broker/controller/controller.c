#include "broker/controller/controller.h"

#include <stdlib.h>

#include "broker/controller/inside.h"

#define BACKDATED_MS   UINT64_C(300000) /* for clocks that are behind */
#define SERVER_LIFE_MS (UINT64_C(90) * 86400000)

void controller_settings_default(struct controller_settings *out)
{
    *out = (struct controller_settings){
        .certificate_ttl_ms = 86400000,
        .invite_ttl_ms = 3600000,
        .default_circle = "home",
        .endpoint = "tcp://127.0.0.1:5752",
    };
}

struct feed {
    struct controller *controller;
    enum err err;
};

static bool feed_one(void *ctx, uint64_t index, struct bytes packed,
                     const uint8_t digest[static 32])
{
    struct feed *feed = ctx;
    struct log_entry entry;

    (void)index;
    feed->err = log_head_append(&feed->controller->fed, packed, &entry);
    if (feed->err == ERR_OK && memcmp(feed->controller->fed.digest, digest, 32) != 0)
        feed->err = ERR_CONFLICT;
    if (feed->err == ERR_OK)
        feed->err = signer_append_log(feed->controller->signer, packed);
    return feed->err == ERR_OK;
}

static enum err feed_all(struct controller *controller)
{
    struct feed feed = { controller, ERR_OK };
    enum err e;

    signer_forget_log(controller->signer);
    controller->fed = (struct log_head){ 0 };
    controller->rollbacks = store_rollbacks(controller->store);
    e = store_log_list(controller->store, 0, INT64_MAX, feed_one, &feed);
    return e == ERR_OK ? feed.err : e;
}

enum err signer_agree(struct controller *controller)
{
    struct log_head head;

    if (controller->rollbacks == store_rollbacks(controller->store))
        return ERR_OK;
    store_log_head(controller->store, &head);
    if (head.next == controller->fed.next && memcmp(head.digest, controller->fed.digest, 32) == 0) {
        controller->rollbacks = store_rollbacks(controller->store);
        return ERR_OK;
    }
    return feed_all(controller);
}

enum err controller_open(struct controller **out, struct store *store, struct signer *signer,
                         const struct controller_settings *settings)
{
    struct controller *controller = mem_zeroed(1, sizeof *controller);
    enum err e;

    controller->store = store;
    controller->signer = signer;
    controller->settings = *settings;
    e = feed_all(controller);
    if (e == ERR_OK)
        *out = controller;
    else
        controller_close(&controller);
    return e;
}

void controller_close(struct controller **controller)
{
    if (!*controller)
        return;
    buf_free(&(*controller)->server);
    free(*controller);
    *controller = NULL;
}

void controller_configure(struct controller *controller, const struct controller_settings *settings)
{
    struct controller_settings *mine = &controller->settings;

    if (strcmp(mine->endpoint, settings->endpoint) != 0)
        controller->server_until_ms = 0;
    mine->certificate_ttl_ms = settings->certificate_ttl_ms;
    mine->invite_ttl_ms = settings->invite_ttl_ms;
    memcpy(mine->default_circle, settings->default_circle, sizeof mine->default_circle);
    memcpy(mine->endpoint, settings->endpoint, sizeof mine->endpoint);
}

const uint8_t *controller_ck(const struct controller *controller)
{
    return signer_ck(controller->signer);
}

const uint8_t *controller_root_id(const struct controller *controller)
{
    return signer_root_id(controller->signer);
}

enum err controller_sign_expired(struct controller *controller, const uint8_t preimage[static 174],
                                 uint8_t sig[static 64])
{
    return signer_expired(controller->signer, preimage, sig);
}

enum err controller_server_card(struct controller *controller, uint64_t now_ms, struct bytes *card,
                                const uint8_t **sig)
{
    struct server_card fresh = { .nbf_ms = now_ms - BACKDATED_MS };
    enum err e = ERR_OK;

    if (now_ms + SERVER_LIFE_MS / 2 >= controller->server_until_ms) {
        fresh.exp_ms = fresh.nbf_ms + SERVER_LIFE_MS;
        memcpy(fresh.curve_pk, controller->settings.curve_pk, sizeof fresh.curve_pk);
        memcpy(fresh.endpoint, controller->settings.endpoint, sizeof fresh.endpoint);
        buf_clear(&controller->server);
        e = signer_server(controller->signer, &fresh, &controller->server, controller->server_sig);
        controller->server_until_ms = e == ERR_OK ? fresh.exp_ms : 0;
    }
    *card = buf_bytes(&controller->server);
    *sig = controller->server_sig;
    return e;
}

/* ---- log
 * ------------------------------------------------------------------------------------------ */

enum err log_add(struct controller *controller, enum log_entry_type type,
                 const struct agent_row *agent, struct bytes extra, struct bytes card,
                 const uint8_t *card_sig, uint64_t now_ms)
{
    struct log_entry entry = { .type = type, .extra = extra };
    struct buf packed = { 0 };
    struct log_head head;
    enum err e = signer_agree(controller);

    if (e != ERR_OK)
        return e;
    store_log_head(controller->store, &head);
    entry.index = head.next;
    entry.ts_ms = now_ms > head.ts_ms ? now_ms : head.ts_ms; /* never backwards */
    memcpy(entry.aid, agent->aid, 32);
    memcpy(entry.card_hash, agent->card_hash, 32);
    memcpy(entry.name, agent->name, sizeof entry.name);
    log_entry_encode(&packed, &entry);
    e = signer_append_log(controller->signer, buf_bytes(&packed));
    if (e == ERR_OK)
        e = log_head_append(&controller->fed, buf_bytes(&packed), &entry);
    if (e == ERR_OK)
        e = store_log_append(controller->store, buf_bytes(&packed), agent->agent_id, card,
                             card_sig);
    buf_free(&packed);
    return e;
}
