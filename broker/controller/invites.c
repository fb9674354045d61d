/*
 * invites - what an operator does with them: make, withdraw, approve, deny.
 */
#include <stdlib.h>

#include "broker/controller/inside.h"
#include "broker/store/audit.h"
#include "shared/trust/identity.h"

#define TTL_LEAST_MS UINT64_C(60000)
#define TTL_MOST_MS  (UINT64_C(30) * 86400000)
#define APPROVED_MS  UINT64_C(86400000)

/* ---- circles
 * -------------------------------------------------------------------------------------- */

enum err circles_of_text(const char *text, struct circles *out)
{
    out->count = 0;
    while (*text) {
        size_t len = strcspn(text, " ");

        if (out->count == CIRCLES_MAX || len == 0)
            return ERR_MALFORMED;
        out->label[out->count++] = bytes_of(text, len);
        text += len + (text[len] == ' ');
    }
    return ERR_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Ascending, each once, one space between. */
static enum err circles_text(const char *const *labels, size_t count,
                             char out[static CIRCLES_TEXT_SIZE])
{
    const char *sorted[CIRCLES_MAX];
    size_t len = 0;

    if (count > CIRCLES_MAX)
        return ERR_MALFORMED;
    for (size_t i = 0; i < count; i++) {
        if (!name_valid(bytes_of_text(labels[i])))
            return ERR_MALFORMED;
        sorted[i] = labels[i];
    }
    qsort(sorted, count, sizeof sorted[0], by_bytes);
    for (size_t i = 0; i < count; i++) {
        size_t more = strlen(sorted[i]);

        if (i && strcmp(sorted[i], sorted[i - 1]) == 0)
            continue;
        if (len)
            out[len++] = ' ';
        memcpy(out + len, sorted[i], more);
        len += more;
    }
    out[len] = 0;
    return ERR_OK;
}

/* ---- make
 * ----------------------------------------------------------------------------------------- */

static enum err wish_check(struct controller *controller, const struct invite_wish *wish,
                           uint64_t ttl_ms)
{
    if (ttl_ms < TTL_LEAST_MS || ttl_ms > TTL_MOST_MS)
        return ERR_MALFORMED;
    if (wish->note && (strlen(wish->note) >= NOTE_SIZE || !utf8_valid(bytes_of_text(wish->note))))
        return ERR_MALFORMED;
    if (!wish->name)
        return ERR_OK;
    if (!name_valid(bytes_of_text(wish->name)))
        return ERR_MALFORMED;
    return store_agent_by_name(controller->store, bytes_of_text(wish->name)) ? ERR_NAME_TAKEN
                                                                             : ERR_OK;
}

enum err controller_invite_make(struct controller *controller, const struct invite_wish *wish,
                                const uint8_t key[static 32], uint64_t now_ms, const char *who,
                                struct invite_row *out)
{
    const char *usual = controller->settings.default_circle;
    uint64_t ttl_ms = wish->ttl_ms ? wish->ttl_ms : controller->settings.invite_ttl_ms;
    struct invite_row invite = { .approve = wish->approve,
                                 .created_ms = now_ms,
                                 .expires_ms = now_ms + ttl_ms,
                                 .until_ms = now_ms + ttl_ms };
    enum err e = wish_check(controller, wish, ttl_ms);

    if (e != ERR_OK)
        return e;
    if (wish->circle_count)
        e = circles_text(wish->circles, wish->circle_count, invite.circles);
    else if (!wish->guest && usual[0])
        e = circles_text(&usual, 1, invite.circles);
    if (e != ERR_OK)
        return e;
    memcpy(invite.key, key, 32);
    if (wish->name)
        strcpy(invite.name, wish->name);
    if (wish->note)
        strcpy(invite.note, wish->note);
    if ((e = store_invite_add(controller->store, &invite)) != ERR_OK
        || (e = store_audit(controller->store, now_ms, who, "invite.new",
                            wish->name ? wish->name : "(any)", invite.circles))
               != ERR_OK)
        return e;
    *out = invite;
    return ERR_OK;
}

/* ---- end
 * ------------------------------------------------------------------------------------------ */

enum err controller_invite_withdraw(struct controller *controller, int64_t invite_id,
                                    uint64_t now_ms, const char *who, struct invite_row *out)
{
    enum err e = store_invite_get(controller->store, invite_id, out);
    enum invite_state state;

    if (e != ERR_OK)
        return e;
    state = store_invite_state(out, now_ms);
    if (state != INVITE_OPEN && state != INVITE_WAITING)
        return ERR_STATE;
    out->withdrawn_ms = now_ms;
    if ((e = store_invite_put(controller->store, out)) != ERR_OK)
        return e;
    return store_audit(controller->store, now_ms, who, "invite.withdrawn", out->name, "");
}

struct waiting_find {
    const char *name;
    uint64_t now_ms;
    struct invite_row *out;
    struct card *card;
    bool found;
};

static bool is_waiting(void *ctx, const struct invite_row *invite)
{
    struct waiting_find *find = ctx;

    if (store_invite_state(invite, find->now_ms) != INVITE_WAITING)
        return true;
    *find->out = *invite;
    find->found = card_parse(bytes_of(find->out->card, find->out->card_len), find->card) == ERR_OK
                  && strcmp(find->card->name, find->name) == 0;
    return !find->found;
}

enum err controller_waiting_find(struct controller *controller, const char *name, uint64_t now_ms,
                                 struct invite_row *out, struct card *card)
{
    struct waiting_find find = { name, now_ms, out, card, false };
    enum err e = store_invite_list(controller->store, false, now_ms, is_waiting, &find);

    return e == ERR_OK && !find.found ? ERR_NOT_FOUND : e;
}

enum err controller_invite_deny(struct controller *controller, int64_t invite_id, uint64_t now_ms,
                                const char *who, struct invite_row *out)
{
    enum err e = store_invite_get(controller->store, invite_id, out);

    if (e != ERR_OK)
        return e;
    if (store_invite_state(out, now_ms) != INVITE_WAITING)
        return ERR_STATE;
    out->denied_ms = now_ms;
    if ((e = store_invite_put(controller->store, out)) != ERR_OK)
        return e;
    return store_audit(controller->store, now_ms, who, "enrol.denied", out->name, "");
}

/* ---- approve
 * -------------------------------------------------------------------------------------- */

enum err controller_invite_approve(struct controller *controller, int64_t invite_id,
                                   uint64_t now_ms, const char *who, int64_t *agent_id)
{
    struct invite_row invite;
    struct agent_new agent = { .now_ms = now_ms };
    enum enrol_outcome outcome;
    enum err e = store_invite_get(controller->store, invite_id, &invite);

    if (e != ERR_OK)
        return e;
    if (store_invite_state(&invite, now_ms) != INVITE_WAITING)
        return ERR_STATE;
    agent.packed = bytes_of(invite.card, invite.card_len);
    agent.sig = invite.card_sig;
    agent.circles = invite.circles;
    if ((e = card_parse(agent.packed, &agent.card)) != ERR_OK)
        return ERR_STORE;
    aid_of(agent.aid, agent.card.ik);
    card_hash(agent.card_hash, agent.packed);
    e = join_check(controller, &agent.card, agent.aid, agent.card_hash, now_ms, &outcome, agent_id);
    if (e == ERR_OK && outcome == ENROL_NEW)
        e = join_proceed(controller, &agent, agent_id);
    if (e != ERR_OK)
        return e;
    invite.agent_id = *agent_id;
    invite.approved_ms = now_ms;
    invite.until_ms = now_ms + APPROVED_MS;
    if ((e = store_invite_put(controller->store, &invite)) != ERR_OK)
        return e;
    return store_audit(controller->store, now_ms, who, "enrol.approved", agent.card.name, "");
}
