/* layers: testworld */
/*
 * Another key under a name, another name under a key, two logs: what a controller can do with its
 * own signature.
 */
#include "tests/liar/scene.h"

#include "agent/store/log.h"
#include "shared/trust/credential.h"

/* What left an agent for anybody: requests and frames. */
static unsigned sealed_words(const struct liar *liar, const struct world_agent *who)
{
    return liar_count(liar, who, VERB_REQUEST) + liar_count(liar, who, VERB_SEND);
}

/* ------------------------------------------------------------------ T8: a key is swapped */

static void expect_stop(struct scene *s, const char *what)
{
    unsigned before = sealed_words(s->liar, s->ann);
    uint8_t id[16], aid[32];

    cr_expect_eq(alarms(s->ann, "key_changed"), 1, "%s", what);
    cr_expect_eq(pin_of(s->ann, world_aid(s->bob)), PIN_CHANGED, "%s", what);
    cr_expect_eq(say(s->ann, s->bob, "to whom?", id), ERR_KEY_CHANGED, "%s", what);
    cr_expect_eq(agent_peer_find(world_agent(s->ann), "bob", aid), ERR_KEY_CHANGED, "%s", what);
    world_pass(s->world, HOURS(2));
    cr_expect_eq(sealed_words(s->liar, s->ann), before, "%s: nothing more was sent", what);
    cr_expect_neq(stage_of(s->ann, s->bob), SESSION_ACTIVE, "%s", what);
}

/* Bob's name for another key in the log. */
Test(liar, T8_the_log_gives_the_name_to_another_key)
{
    struct liar_person mallory;
    struct liar_view *view;
    struct scene s;

    scene_open(&s, 1);
    talk(&s);
    liar_person(s.liar, &mallory, "bob");
    view = liar_view(s.liar);
    liar_view_enrol(view, &mallory, "home");
    liar_show(s.liar, s.ann, view);
    liar_log_moved(s.liar, s.ann);
    expect_stop(&s, "log");
    scene_close(&s);
}

/* Somebody else asks for contact under bob's name, with a credential that the controller signed. */
Test(liar, T8_another_key_asks_under_the_name)
{
    for (int in_log = 0; in_log < 2; in_log++) {
        struct liar_person mallory;
        struct liar_item request;
        struct scene s;

        scene_open(&s, 2);
        talk(&s);
        liar_take_mailbox(s.liar, s.ann);
        liar_person(s.liar, &mallory, "bob");
        request = liar_ask_as(s.liar, &mallory, liar_certify(s.liar, NULL, &mallory), s.ann,
                              "it is me, bob");
        if (in_log) {
            struct liar_view *view = liar_view(s.liar);

            liar_view_enrol(view, &mallory, "home");
            liar_show(s.liar, s.ann, view);
            request.item.credential = liar_recertify(s.liar, view, request.item.credential);
        }
        liar_deliver(s.liar, s.ann, &request, 1);
        world_pass(s.world, 10000);
        cr_expect_eq(inbox(s.ann, NULL), 0, "mallory is not heard");
        cr_expect_eq(pin_of(s.ann, mallory.aid), PIN_NONE);
        if (in_log)
            expect_stop(&s, "request");
        else /* a certificate that no entry of the log stands behind is no certificate */
            cr_expect_eq(stage_of(s.ann, s.bob), SESSION_ACTIVE, "bob is as he was");
        scene_close(&s);
    }
}

/* LOOKUP of bob answered with the keys of another. */
struct swap {
    struct liar_person *with;
    struct liar_view *view;
};

static bool swap_bundle(void *ctx, struct liar *liar, struct passing *p)
{
    struct swap *swap = ctx;

    if (p->to_agent && p->message.verb == VERB_LOOKUP && p->message.reply)
        p->message.credential = liar_certify(liar, swap->view, swap->with);
    return true;
}

Test(liar, T8_another_key_in_a_bundle)
{
    for (int in_log = 0; in_log < 2; in_log++) {
        struct liar_person mallory;
        struct swap swap = { .with = &mallory };
        struct scene s;
        uint8_t id[16];

        scene_open(&s, 3);
        liar_person(s.liar, &mallory, "bob");
        if (in_log) {
            swap.view = liar_view(s.liar);
            liar_show(s.liar, s.ann, swap.view);
        }
        liar_set_rule(s.liar, swap_bundle, &swap);
        cr_assert_eq(say(s.ann, s.bob, "for bob only", id), ERR_OK);
        if (in_log) /* after ann has chosen whom she means */
            liar_view_enrol(swap.view, &mallory, "home");
        world_pass(s.world, HOURS(1));
        cr_expect_eq(sealed_words(s.liar, s.ann), 0, "nothing is sealed for another key");
        cr_expect_neq(state_of(s.ann, id), OUT_STORED);
        scene_close(&s);
    }
}

/* ------------------------------------------------------------------ T9: two logs */

/* Ann sees the truth; bob sees one agent more.  The first message between the halves tells. */
static void two_halves(struct scene *s, struct liar_view *view)
{
    uint8_t id[16];

    liar_show(s->liar, s->bob, view);
    liar_log_moved(s->liar, s->bob);
    cr_assert_eq(any_alarms(s->ann) + any_alarms(s->bob), 0, "each half is sound in itself");
    cr_assert_eq(say(s->ann, s->bob, "hello", id), ERR_OK);
    world_pass(s->world, MINUTES(10));
}

Test(liar, T9_two_logs_of_one_length)
{
    struct liar_person eve, ned;
    struct liar_view *left, *right;
    struct scene s;

    scene_open(&s, 4);
    liar_person(s.liar, &eve, "eve");
    liar_person(s.liar, &ned, "ned");
    left = liar_view(s.liar);
    right = liar_view(s.liar);
    liar_view_enrol(left, &eve, "home");
    liar_view_enrol(right, &ned, "home");
    liar_show(s.liar, s.ann, left);
    liar_log_moved(s.liar, s.ann);
    two_halves(&s, right);
    cr_expect_eq(alarms(s.bob, "split_view"), 1, "the asked one sees it in the request");
    cr_expect_eq(alarms(s.ann, "split_view"), 1, "the asking one in the acceptance");
    scene_close(&s);
}

/* One half is shorter: its head is an entry that the other has, with another digest. */
Test(liar, T9_the_others_log_is_shorter)
{
    struct liar_person eve;
    struct liar_view *view;
    struct scene s;

    scene_open(&s, 5);
    view = liar_view(s.liar);
    liar_person(s.liar, &eve, "eve");
    liar_show(s.liar, s.bob, view);
    liar_view_enrol(view, &eve, "home");
    two_halves(&s, view);
    world_join(s.world, "cyd", "home"); /* both logs go on */
    world_pass(s.world, HOURS(2));
    cr_expect_gt(alarms(s.ann, "split_view") + alarms(s.bob, "split_view"), 0);
    scene_close(&s);
}

/* An entry is kept from bob.  So far his log is only old; with the next entry it is another. */
Test(liar, T9_an_entry_is_hidden)
{
    struct liar_view *view;
    struct log_head head;
    struct scene s;

    scene_open(&s, 6);
    view = liar_view(s.liar);
    profile_log_head(store_of(s.ann), &head);
    liar_view_hide(view, head.next);
    liar_show(s.liar, s.bob, view);
    world_partition(s.world, s.bob, true);
    world_join(s.world, "cyd", "home");
    world_partition(s.world, s.bob, false);
    world_pass(s.world, MINUTES(5));
    two_halves(&s, view);
    cr_expect_eq(any_alarms(s.ann) + any_alarms(s.bob), 0, "old news are no lie");
    world_join(s.world, "dan", "home");
    world_pass(s.world, HOURS(2));
    cr_expect_gt(alarms(s.ann, "split_view") + alarms(s.bob, "split_view"), 0);
    scene_close(&s);
}

/* The halves part after the session has begun: heartbeats carry heads, too. */
Test(liar, T9_two_logs_in_the_middle_of_a_conversation)
{
    struct liar_person eve, ned;
    struct liar_view *left, *right;
    struct scene s;
    uint8_t id[16];

    scene_open(&s, 14);
    talk(&s);
    liar_person(s.liar, &eve, "eve");
    liar_person(s.liar, &ned, "ned");
    left = liar_view(s.liar);
    right = liar_view(s.liar);
    liar_view_enrol(left, &eve, "home");
    liar_view_enrol(right, &ned, "home");
    liar_show(s.liar, s.ann, left);
    liar_show(s.liar, s.bob, right);
    liar_log_moved(s.liar, s.ann);
    liar_log_moved(s.liar, s.bob);
    cr_assert_eq(say(s.ann, s.bob, "go on", id), ERR_OK);
    world_pass(s.world, HOURS(3));
    cr_expect_eq(inbox(s.bob, "go on"), 1);
    cr_expect_gt(alarms(s.ann, "split_view") + alarms(s.bob, "split_view"), 0);
    scene_close(&s);
}

/* The head that the controller signs is not that of the log it shows. */
static bool other_head(void *ctx, struct liar *liar, struct passing *p)
{
    struct credential cred;

    (void)ctx;
    if (!p->to_agent || p->message.verb != VERB_LOOKUP || !p->message.reply
        || credential_parse(p->message.credential, &cred) != ERR_OK)
        return true;
    p->message.credential = liar_recertify(liar, ctx, p->message.credential);
    return true;
}

Test(liar, T9_the_signed_head_is_of_another_log)
{
    struct liar_person eve, ned;
    struct liar_view *left, *right;
    struct scene s;
    uint8_t id[16];

    scene_open(&s, 7);
    liar_person(s.liar, &eve, "eve");
    liar_person(s.liar, &ned, "ned");
    left = liar_view(s.liar);
    right = liar_view(s.liar);
    liar_view_enrol(left, &eve, "home");
    liar_view_enrol(right, &ned, "home");
    liar_show(s.liar, s.ann, left);
    liar_log_moved(s.liar, s.ann);
    liar_show(s.liar, s.ann, NULL); /* rule by hand: the certificate alone lies */
    liar_set_rule(s.liar, other_head, right);
    cr_assert_eq(say(s.ann, s.bob, "hello", id), ERR_OK);
    world_pass(s.world, MINUTES(1));
    cr_expect_eq(alarms(s.ann, "split_view"), 1);
    scene_close(&s);
}

/* Entries out of order, malformed, or with time running backwards: no log at all. */
static void circles_on_card(struct log_entry *entry)
{
    entry->type = ENTRY_CARD;
    entry->extra = bytes_of("\1\4home", 6);
}

static void circle_twice(struct log_entry *entry)
{
    entry->extra = bytes_of("\2\4home\4home", 11);
}

static void half_a_circle(struct log_entry *entry)
{
    entry->extra = bytes_of("\1\4ho", 4);
}

static void bad_name(struct log_entry *entry)
{
    strcpy(entry->name, "../eve");
}

static void strange_type(struct log_entry *entry)
{
    entry->type = (enum log_entry_type)4;
}

static const struct {
    const char *name;
    void (*spoil)(struct log_entry *entry);
} spoilt[] = {
    { "a card with circles", circles_on_card },
    { "the same circle twice", circle_twice },
    { "a circle that is cut off", half_a_circle },
    { "a name that is none", bad_name },
    { "a new root", strange_type },
};

Test(liar, T49_entries_that_are_none)
{
    for (size_t i = 0; i < sizeof spoilt / sizeof spoilt[0]; i++) {
        struct log_entry entry = { .type = ENTRY_ENROL };
        struct liar_person eve;
        struct liar_view *view;
        struct scene s;
        uint8_t aid[32];

        scene_open(&s, 8);
        liar_person(s.liar, &eve, "eve");
        entry.ts_ms = world_now_ms(s.world);
        strcpy(entry.name, "eve");
        memcpy(entry.aid, eve.aid, 32);
        memcpy(entry.card_hash, eve.hash, 32);
        spoilt[i].spoil(&entry);
        view = liar_view(s.liar);
        liar_view_append(view, entry);
        liar_show(s.liar, s.ann, view);
        liar_log_moved(s.liar, s.ann);
        cr_expect_eq(alarms(s.ann, "split_view"), 1, "%s", spoilt[i].name);
        cr_expect_eq(agent_peer_find(world_agent(s.ann), "eve", aid), ERR_UNKNOWN_AGENT, "%s",
                     spoilt[i].name);
        scene_close(&s);
    }
}

/* ------------------------------------------------------------------ T10: somebody is me */

static void impersonate(uint64_t seed, const char *what, bool my_aid, bool shown)
{
    struct log_entry entry = { .type = my_aid ? ENTRY_CARD : ENTRY_ENROL };
    struct liar_person other;
    struct liar_view *view;
    struct scene s;

    scene_open(&s, seed);
    talk(&s);
    liar_person(s.liar, &other, "ann");
    view = liar_view(s.liar);
    entry.ts_ms = world_now_ms(s.world);
    strcpy(entry.name, "ann");
    memcpy(entry.aid, my_aid ? world_aid(s.ann) : other.aid, 32);
    memcpy(entry.card_hash, other.hash, 32);
    liar_view_append(view, entry);
    liar_show(s.liar, s.ann, view);
    if (shown)
        liar_log_moved(s.liar, s.ann);
    else
        world_pass(s.world, HOURS(2)); /* nobody tells; the log is read all the same */
    cr_expect_eq(alarms(s.ann, "impersonation"), 1, "%s", what);
    cr_expect_eq(alarms(s.bob, "impersonation"), 0, "%s: not bob's business", what);
    scene_close(&s);
}

Test(liar, T10_another_agent_under_my_name)
{
    impersonate(9, "name", false, true);
    impersonate(10, "name, quietly", false, false);
}

Test(liar, T10_a_card_of_mine_that_i_never_made)
{
    impersonate(11, "card", true, true);
    impersonate(12, "card, quietly", true, false);
}

Test(liar, T10_my_own_cards_alarm_nobody)
{
    struct agent_settings settings;
    struct scene s;

    scene_open(&s, 13);
    talk(&s);
    agent_settings_default(&settings);
    strcpy(settings.description, "new words");
    agent_configure(world_agent(s.ann), &settings);
    world_pass(s.world, HOURS(2));
    cr_expect_eq(any_alarms(s.ann) + any_alarms(s.bob), 0);
    scene_close(&s);
}
