#include "agent/flow/replenish.h"

#include <sodium.h>

#include "agent/crypto/prekey_make.h"
#include "agent/flow/link.h"
#include "agent/store/secrets.h"
#include "shared/base/log.h"
#include "shared/wire/limit.h"

/* A number that was never used, not even by a later state of a profile that was put back: numbers
 * begin at the time. */
static uint32_t next_number(struct agent *agent, enum secret_kind kind)
{
    uint32_t last = profile_secret_last(agent->store, kind);
    uint32_t now_s = (uint32_t)(agent_now(agent) / 1000);

    return last >= now_s ? last + 1 : now_s;
}

/* Replaced; kept for whoever has got it before, eight days beyond its own end. */
static void retire_signed_prekeys(struct agent *agent)
{
    struct secret_info spk;

    if (profile_secret_newest(agent->store, SECRET_SPK, UINT32_MAX, &spk))
        profile_secret_retire(agent->store, SECRET_SPK, spk.number, spk.created_ms + LIMIT_KEEP_MS);
}

static void make_signed_prekey(struct agent *agent)
{
    struct buf statement = { 0 };
    uint8_t secret[32], sig[64];
    uint32_t number = next_number(agent, SECRET_SPK);
    uint64_t now = agent_now(agent);

    agent_random(agent, secret, sizeof secret);
    prekey_make(&statement, sig, agent->me.row.id, agent->me.ik_secret, number, now, secret);
    buf_append(&statement, sig, sizeof sig);
    retire_signed_prekeys(agent);
    profile_secret_add(agent->store, SECRET_SPK, number, buf_bytes(&statement),
                       bytes_of(secret, sizeof secret), now);
    profile_number_set(agent->store, "spk_told", 0, "the broker has the newest signed prekey");
    sodium_memzero(secret, sizeof secret);
    buf_free(&statement);
}

static void make_one_time_prekeys(struct agent *agent, size_t count)
{
    uint64_t now = agent_now(agent);

    for (size_t i = 0; i < count; i++) {
        uint8_t secret[32], public_key[32];
        agent_random(agent, secret, sizeof secret);
        prekey_make_one_time(public_key, secret);
        profile_secret_add(agent->store, SECRET_OPK, next_number(agent, SECRET_OPK),
                           bytes_of(public_key, 32), bytes_of(secret, 32), now);
        sodium_memzero(secret, sizeof secret);
    }
}

/* Is there a signed prekey of this week? */
static bool signed_prekey_fresh(struct agent *agent, struct secret_info *spk)
{
    return profile_secret_newest(agent->store, SECRET_SPK, UINT32_MAX, spk) && !spk->retired
           && agent_now(agent) < spk->created_ms + LIMIT_SPK_PERIOD_MS;
}

/* How many of them the broker has confirmed, as a number. */
static uint32_t confirmed(struct agent *agent)
{
    uint64_t told = 0;

    profile_number_get(agent->store, "opk_told", &told);
    return (uint32_t)told;
}

/* All that the broker has are replaced. */
static void renew_one_time_prekeys(struct agent *agent)
{
    uint32_t last = profile_secret_last(agent->store, SECRET_OPK);

    profile_secret_retire(agent->store, SECRET_OPK, last, agent_now(agent) + LIMIT_KEEP_MS);
    profile_number_set(agent->store, "opk_told", last, "one-time prekeys at the broker");
    profile_number_set(agent->store, "opk_replace", 1, "they replace all that the broker has");
    make_one_time_prekeys(agent, OPK_MAX);
    agent->prekeys_replace = true;
    agent->prekeys_void = false;
}

void agent_prekeys_renew(struct agent *agent)
{
    make_signed_prekey(agent);
    renew_one_time_prekeys(agent);
    agent->prekeys_wanted = true;
}

void agent_prekeys_load(struct agent *agent)
{
    uint64_t replace = 0;

    profile_number_get(agent->store, "opk_replace", &replace);
    agent->prekeys_replace = replace != 0;
}

/* Nobody has asked for them for a month: their private halves shall not lie there for ever. */
static bool one_time_prekeys_old(struct agent *agent)
{
    struct secret_info opk;

    return profile_secret_newest(agent->store, SECRET_OPK, UINT32_MAX, &opk) && !opk.retired
           && agent_now(agent) >= opk.created_ms + LIMIT_SPK_LIFE_MS;
}

void agent_prekeys_prepare(struct agent *agent)
{
    struct secret_info spk;
    uint32_t last = profile_secret_last(agent->store, SECRET_OPK);

    if (!agent->prekeys_wanted || agent->prekeys_asked)
        return;
    if (!signed_prekey_fresh(agent, &spk))
        make_signed_prekey(agent);
    if (agent->prekeys_void || one_time_prekeys_old(agent)) {
        renew_one_time_prekeys(agent);
    } else if (last == 0) {
        make_one_time_prekeys(agent, OPK_MAX);
    } else if (confirmed(agent) == last && agent->prekeys_known && !agent->prekeys_replace
               && agent->prekeys < LIMIT_OPK_LOW) {
        make_one_time_prekeys(agent, OPK_MAX - (size_t)agent->prekeys);
    }
}

struct opk_batch {
    uint32_t numbers[OPK_MAX];
    uint8_t publics[OPK_MAX][32];
    size_t count;
};

/* The newest signed prekey, if the broker does not have it. */
static void add_signed_prekey(struct agent *agent, struct message *message, struct buf *statement)
{
    struct secret_info spk;
    uint64_t told = 0;

    profile_number_get(agent->store, "spk_told", &told);
    if (told || !profile_secret_newest(agent->store, SECRET_SPK, UINT32_MAX, &spk)
        || !profile_secret_get(agent->store, SECRET_SPK, spk.number, statement, NULL)
        || statement->len <= 64)
        return;
    size_t len = statement->len - 64;
    MESSAGE_SET(message, spk,
                ((struct wire_signed){ bytes_of(statement->at, len), statement->at + len }));
}

void agent_prekeys_ask(struct agent *agent)
{
    struct message message = agent_message(VERB_PREKEYS);
    struct buf statement = { 0 };
    struct list_maker opks = { 0 };
    struct opk_batch batch;
    struct agent_asked *asked = NULL;

    if (!agent->prekeys_wanted || agent->prekeys_asked)
        return;
    add_signed_prekey(agent, &message, &statement);
    batch.count = profile_secret_list(agent->store, SECRET_OPK, confirmed(agent), OPK_MAX,
                                      batch.numbers, batch.publics);
    for (size_t i = 0; i < batch.count; i++)
        list_add_opk(&opks, &(struct wire_opk){ batch.numbers[i], batch.publics[i] });
    if (batch.count)
        MESSAGE_SET(&message, opks, list_of(&opks));
    if (batch.count && agent->prekeys_replace)
        MESSAGE_SET(&message, flags, 1);
    asked = agent_ask(agent, &message, NULL, 0);
    if (asked) {
        asked->number = batch.count ? batch.numbers[batch.count - 1] : 0;
        asked->peer_id = MESSAGE_HAS(&message, spk);
        agent->prekeys_asked = true;
        agent->prekeys_wanted = false;
    }
    list_free(&opks);
    buf_free(&statement);
}

void agent_prekeys_answer(struct agent *agent, const struct agent_asked *asked, enum err code,
                          const struct message *message)
{
    agent->prekeys_asked = false;
    if (code == ERR_CONFLICT || code == ERR_QUOTA) {
        /* Numbers that the broker knows with other keys, or more than it takes: this profile has
         * been put back.  New ones, and only those. */
        agent_prekeys_renew(agent);
        return;
    }
    if (code != ERR_OK) {
        log_event(LOG_WARN, "prekeys.refused", "error=%s", err_name(code));
        return;
    }
    if (asked->number) {
        profile_number_set(agent->store, "opk_told", asked->number,
                           "one-time prekeys at the broker");
        profile_fact_remove(agent->store, "opk_replace");
        agent->prekeys_replace = false;
    }
    if (asked->peer_id)
        profile_number_set(agent->store, "spk_told", 1, "the broker has the newest signed prekey");
    agent->prekeys_known = true;
    agent->prekeys = message->count;
    agent->prekeys_wanted = agent->prekeys < LIMIT_OPK_LOW;
    agent->changed = true;
}

void agent_prekeys_low(struct agent *agent, uint64_t count)
{
    agent->prekeys_known = true;
    agent->prekeys = count < OPK_MAX ? count : OPK_MAX;
    agent->prekeys_wanted = true;
}
