/* layers: base wire trust agent_crypto */
/*
 * The life of a group in the hands of a lying broker and of members who sign anything.  First byte
 * even: raw events, as a damaged database has them, are replayed.  Odd: a list of deeds, each
 * judged first and done if it is allowed.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/lib/group_stage.h"

struct input {
    const uint8_t *at, *end;
};

static uint8_t take_byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static void list_holds(const struct group_chain *chain)
{
    size_t joined = 0;

    for (size_t i = 0; i < chain->count; i++) {
        joined += chain->members[i].joined;
        MUST(i == 0 || memcmp(chain->members[i - 1].aid, chain->members[i].aid, 32) < 0);
        MUST(group_member_find(chain, chain->members[i].aid) == &chain->members[i]);
    }
    MUST(joined == chain->joined);
}

static void replay(struct input *input)
{
    struct group_chain chain = { 0 };

    if ((size_t)(input->end - input->at) >= EVENT_SIZE)
        memcpy(chain.gid, input->at + 13, 16); /* the group that the first one names */
    while ((size_t)(input->end - input->at) >= EVENT_SIZE + 64) {
        static const size_t body_len[] = { 5, 9, 32, 1, 69, 1, 1 };
        uint8_t type = input->at[69];
        size_t len = type >= 16 && type <= 22 ? body_len[type - 16] : 1;
        struct signed_event event = { bytes_of(input->at, EVENT_SIZE), input->at + EVENT_SIZE,
                                      bytes_of(input->at + EVENT_SIZE + 64, len) };

        if ((size_t)(input->end - input->at) < EVENT_SIZE + 64 + len)
            break;
        group_chain_replay(&chain, &event);
        list_holds(&chain);
        input->at += EVENT_SIZE + 64 + len;
    }
    group_chain_free(&chain);
}

static void deed_said(struct said *said, struct group_stage *stage, struct input *input)
{
    uint8_t what = take_byte(input), who = take_byte(input);
    int actor = who & 7, target = who >> 3 & 7;
    uint8_t value = who >> 6;

    switch (what % 7) {
    case 0:
        said_created(said, stage, actor, value, take_byte(input));
        break;
    case 1:
        said_invited(said, stage, actor, target, value, stage->now_ms + take_byte(input));
        break;
    case 2:
        said_joined(said, stage, actor, target);
        break;
    case 3:
        said_byte(said, stage, EVENT_GROUP_REMOVED, actor, target, value);
        break;
    case 4:
        said_epoch(said, stage, actor);
        break;
    case 5:
        said_byte(said, stage, EVENT_GROUP_ROLE, actor, target, value);
        break;
    case 6:
        said_byte(said, stage, EVENT_GROUP_CLOSED, actor, -1, value);
        break;
    }
    if (what & 0x80) {
        uint8_t at = take_byte(input);

        if (at < EVENT_SIZE)
            said->preimage[at] ^= take_byte(input);
        else
            said->body[at % EPOCH_BODY_SIZE] ^= take_byte(input);
    }
    if (what & 0x40)
        stage->actor[target].revoked ^= true;
}

static void rules_hold(const struct group_chain *chain)
{
    size_t owners = 0;

    list_holds(chain);
    for (size_t i = 0; i < chain->count; i++)
        owners += chain->members[i].joined && chain->members[i].role == ROLE_OWNER;
    MUST(owners == (chain->life != GROUP_NONE));
    MUST(chain->count <= chain->max_members);
    MUST(!chain->epoch_due || group_is_admin(chain, chain->due_actor));
}

static void live(struct input *input)
{
    struct group_stage stage;
    struct group_facts facts = stage_facts(&stage);

    stage_open(&stage, 1);
    for (int i = 0; i < 200 && input->at < input->end; i++) {
        uint64_t before = stage.chain.next_seq;
        struct said said;
        struct event event;

        deed_said(&said, &stage, input);
        if (group_chain_check(&stage.chain, &said.event, &facts, &event) != ERR_OK)
            continue;
        MUST(group_chain_replay(&stage.chain, &said.event) == ERR_OK);
        MUST(stage.chain.next_seq == before + 1);
        rules_hold(&stage.chain);
        stage.now_ms += 20;
    }
    stage_close(&stage);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
    struct input input = { at, at + len };

    if (len == 0)
        return 0;
    if (take_byte(&input) & 1)
        live(&input);
    else
        replay(&input);
    return 0;
}
