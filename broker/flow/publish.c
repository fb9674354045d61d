/*
 * publish - what an agent tells about itself: a new card, and prekeys for others.
 */
#include "broker/controller/controller.h"
#include "broker/flow/directory.h"
#include "broker/flow/hints.h"
#include "broker/store/directory.h"
#include "broker/store/prekeys.h"
#include "shared/wire/limit.h"

#define PREKEYS_REPLACE 1 /* flags */

/* ---- CARD
 * ----------------------------------------------------------------------------------------- */

enum err card_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct wire_signed *signed_card = &request->message.card;
    const struct agent_row *agent = store_agent(flow->store, request->by.id);
    uint8_t old_key[32];
    struct card card;
    bool same;
    enum err e;

    memcpy(old_key, agent->transport_key, 32);
    e = controller_card_check(flow->controller, agent->agent_id, signed_card->bytes,
                              signed_card->sig, flow->now_ms, &same, &card);
    if (e == ERR_OK && !same) {
        e = controller_card_proceed(flow->controller, agent->agent_id, signed_card->bytes,
                                    signed_card->sig, &card, flow->now_ms);
        if (e == ERR_OK && memcmp(old_key, agent->transport_key, 32) != 0) {
            reply_key_add(reply, agent->transport_key, false, agent->agent_id, agent->aid,
                          agent->identity_key);
            key_ends_later(flow, old_key, OLD_KEY_MS);
        }
        if (e == ERR_OK)
            say_log_moved(flow, reply);
    }
    if (e == ERR_OK)
        e = add_credential(flow, agent->agent_id, LIMIT_CERT_REISSUE_MS, reply);
    if (e == ERR_OK)
        add_log_head(flow, reply);
    return e;
}

/* ---- PREKEYS
 * -------------------------------------------------------------------------------------- */

struct upload {
    bool has_spk, spk_is_new;
    struct spk_row spk;
    struct wire_opk opks[OPK_MAX];
    bool is_new[OPK_MAX];
    size_t count, new_count;
};

static enum err spk_check(struct flow *flow, const struct request *request, struct upload *upload)
{
    const struct wire_signed *given = &request->message.spk;
    struct spk_statement statement;
    struct spk_row held;
    enum err e = spk_verify(given->bytes, given->sig, request->by.aid, request->by.identity_key,
                            flow->now_ms, &statement);

    if (e != ERR_OK)
        return e;
    if (statement.expires_ms - statement.created_ms > LIMIT_SPK_LIFE_MS
        || statement.created_ms > statement.expires_ms
        || given->bytes.len > sizeof upload->spk.statement)
        return ERR_SCHEMA;
    if (statement.created_ms > flow->now_ms + LIMIT_FRESH_MS)
        return ERR_STALE_TS;
    e = store_spk_get(flow->store, request->by.id, &held);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    upload->spk_is_new = e == ERR_NOT_FOUND || held.spk_id < statement.id;
    if (!upload->spk_is_new)
        return bytes_equal(bytes_of(held.statement, held.len), given->bytes) ? ERR_OK
                                                                             : ERR_CONFLICT;
    upload->spk.spk_id = statement.id;
    upload->spk.stored_ms = flow->now_ms;
    upload->spk.expires_ms = statement.expires_ms;
    upload->spk.len = given->bytes.len;
    memcpy(upload->spk.statement, given->bytes.at, given->bytes.len);
    memcpy(upload->spk.sig, given->sig, 64);
    return ERR_OK;
}

/* The key that `id` has among the first `count` of the upload; NULL: none. */
static const uint8_t *given_before(const struct upload *upload, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++)
        if (upload->opks[i].id == id)
            return upload->opks[i].key;
    return NULL;
}

/* The key that this number stands for already: in this upload, held, or used.  ERR_NOT_FOUND. */
static enum err opk_known(struct flow *flow, int64_t agent_id, bool replace, size_t i,
                          const struct upload *upload, uint8_t key[static 32])
{
    uint32_t id = upload->opks[i].id;
    const uint8_t *other = given_before(upload, i, id);
    enum err e = ERR_NOT_FOUND;

    if (other) {
        memcpy(key, other, 32);
        return ERR_OK;
    }
    if (!replace)
        e = store_opk_get(flow->store, agent_id, id, key);
    if (e != ERR_NOT_FOUND)
        return e;
    e = store_opk_used(flow->store, agent_id, id, key);
    /* A new set may begin with any number, but a key that was used does not come back. */
    return e == ERR_OK && replace && memcmp(key, upload->opks[i].key, 32) != 0 ? ERR_NOT_FOUND : e;
}

static enum err opk_check(struct flow *flow, int64_t agent_id, bool replace, size_t i,
                          struct upload *upload)
{
    uint8_t known[32];
    enum err e = opk_known(flow, agent_id, replace, i, upload, known);

    if (e == ERR_OK)
        return memcmp(known, upload->opks[i].key, 32) == 0 ? ERR_OK : ERR_CONFLICT;
    if (e != ERR_NOT_FOUND)
        return e;
    upload->is_new[i] = true;
    upload->new_count++;
    return ERR_OK;
}

static enum err opks_check(struct flow *flow, const struct request *request, bool replace,
                           struct upload *upload)
{
    struct list_reader reader = list_read(&request->message.opks);
    uint64_t held = 0;
    enum err e = ERR_OK;

    while (upload->count < OPK_MAX && list_opk(&reader, &upload->opks[upload->count]))
        upload->count++;
    if (reader.err != ERR_OK)
        return reader.err;
    for (size_t i = 0; i < upload->count && e == ERR_OK; i++)
        e = opk_check(flow, request->by.id, replace, i, upload);
    if (e == ERR_OK && !replace)
        e = store_opk_count(flow->store, request->by.id, &held);
    return e == ERR_OK && held + upload->new_count > LIMIT_OPK_MAX ? ERR_QUOTA : e;
}

static enum err upload_store(struct flow *flow, int64_t agent_id, bool replace,
                             const struct upload *upload)
{
    enum err e = ERR_OK;

    if (upload->spk_is_new)
        e = store_spk_put(flow->store, agent_id, &upload->spk);
    if (e == ERR_OK && replace)
        e = store_opk_drop_all(flow->store, agent_id);
    for (size_t i = 0; i < upload->count && e == ERR_OK; i++)
        if (upload->is_new[i])
            e = store_opk_add(flow->store, agent_id, upload->opks[i].id, upload->opks[i].key);
    return e;
}

enum err prekeys_handle(struct flow *flow, const struct request *request, struct reply *reply)
{
    const struct message *m = &request->message;
    struct upload *upload = (void *)reply_memory(reply, sizeof *upload);
    bool replace = MESSAGE_HAS(m, flags) && (m->flags & PREKEYS_REPLACE);
    uint64_t count = 0;
    enum err e = ERR_OK;

    memset(upload, 0, sizeof *upload);
    if (MESSAGE_HAS(m, flags) && (m->flags & ~(uint64_t)PREKEYS_REPLACE))
        return ERR_SCHEMA;
    if (MESSAGE_HAS(m, spk))
        e = spk_check(flow, request, upload);
    if (e == ERR_OK && (MESSAGE_HAS(m, opks) || replace))
        e = opks_check(flow, request, replace, upload);
    if (e == ERR_OK)
        e = upload_store(flow, request->by.id, replace, upload);
    if (e == ERR_OK)
        e = store_opk_count(flow->store, request->by.id, &count);
    MESSAGE_SET(reply_message(reply), count, count);
    return e;
}
