#include "shared/trust/event.h"
#include "shared/trust/init0.h"

/* What may follow; a missing entry is a forbidden step. */
static const enum chain_state next[CHAIN_STATE_COUNT][EVENT_EXPIRED + 1] = {
    [CHAIN_NONE] = { [EVENT_OPENED] = CHAIN_REQUESTED },
    [CHAIN_REQUESTED] = { [EVENT_ACCEPTED] = CHAIN_ACTIVE,
                          [EVENT_REJECTED] = CHAIN_REJECTED,
                          [EVENT_CLOSED] = CHAIN_CLOSED,
                          [EVENT_EXPIRED] = CHAIN_EXPIRED },
    [CHAIN_ACTIVE] = { [EVENT_ROTATED] = CHAIN_ROTATED,
                       [EVENT_CLOSED] = CHAIN_CLOSED,
                       [EVENT_EXPIRED] = CHAIN_EXPIRED },
};

enum chain_state chain_next(enum chain_state state, uint8_t type)
{
    if (state >= CHAIN_STATE_COUNT || type > EVENT_EXPIRED)
        return CHAIN_NONE;
    return next[state][type];
}

static bool same(const uint8_t a[static 32], const uint8_t b[static 32])
{
    return memcmp(a, b, 32) == 0;
}

/* OPENED founds the chain: id is the hash of its INIT0, which names both parties. */
static enum err opened_check(const struct session_chain *chain, const struct event *event,
                             struct bytes body)
{
    struct opened_body opened;
    struct init0 init;
    uint8_t sid[16];

    if (opened_body_parse(body, &opened) != ERR_OK || init0_parse(opened.init0, &init) != ERR_OK)
        return ERR_SCHEMA;
    init0_sid(sid, opened.init0);
    if (memcmp(sid, chain->sid, 16) != 0)
        return ERR_SCHEMA;
    if (!same(event->actor, init.aid_a) || !same(event->target, init.aid_b))
        return ERR_FORBIDDEN;
    return ERR_OK;
}

/* Who may take this step, and towards whom? */
static enum err parties_check(const struct session_chain *chain, const struct event *event,
                              const uint8_t root_id[static 32])
{
    static const uint8_t nobody[32];
    bool by_a = same(event->actor, chain->aid_a) && same(event->target, chain->aid_b);
    bool by_b = same(event->actor, chain->aid_b) && same(event->target, chain->aid_a);
    bool good = false;

    switch (event->type) {
    case EVENT_ACCEPTED:
    case EVENT_REJECTED:
        good = by_b;
        break;
    case EVENT_CLOSED:
        good = by_a || (by_b && chain->state == CHAIN_ACTIVE); /* B rejects a request instead */
        break;
    case EVENT_ROTATED:
        good = by_a || by_b;
        break;
    case EVENT_EXPIRED:
        good = same(event->actor, root_id) && same(event->target, nobody);
        break;
    }
    return good ? ERR_OK : ERR_FORBIDDEN;
}

enum err session_chain_check(const struct session_chain *chain, const struct signed_event *event,
                             const uint8_t root_id[static 32], struct event *out)
{
    enum err e = event_parse(event->preimage, out);

    if (e != ERR_OK)
        return e;
    if (out->scope != SCOPE_SESSION || memcmp(out->id, chain->sid, 16) != 0
        || event_body_check(out, event->body) != ERR_OK)
        return ERR_SCHEMA;
    if (out->seq != chain->next_seq || !same(out->prev, chain->head))
        return ERR_CONFLICT;
    if (chain_next(chain->state, out->type) == CHAIN_NONE)
        return ERR_STATE;
    if (out->type == EVENT_OPENED)
        return opened_check(chain, out, event->body);
    return parties_check(chain, out, root_id);
}

enum err session_chain_append(struct session_chain *chain, const struct signed_event *event,
                              const uint8_t root_id[static 32], const uint8_t actor_key[static 32],
                              struct event *out)
{
    enum err e = session_chain_check(chain, event, root_id, out);

    if (e == ERR_OK)
        e = event_verify(event->preimage, event->sig, actor_key);
    if (e != ERR_OK)
        return e;
    if (out->type == EVENT_OPENED) {
        memcpy(chain->aid_a, out->actor, 32);
        memcpy(chain->aid_b, out->target, 32);
    }
    chain->state = chain_next(chain->state, out->type);
    chain->next_seq++;
    event_digest(chain->head, event->preimage);
    return ERR_OK;
}
