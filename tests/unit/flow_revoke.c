/* layers: testlib */
/*
 * The end of an agent, by the operator or by its own LEAVE: what happens at once, what becomes of
 * its sessions and mail at both ends, after a restart and after a restore (T30).
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/flow/flow_internal.h"
#include "broker/store/directory.h"
#include "broker/store/log.h"
#include "broker/store/prekeys.h"
#include "broker/store/scopes.h"
#include "broker/store/usage.h"
#include "shared/trust/enrol.h"
#include "shared/trust/notice.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_broker.h"

#define DAY_MS   UINT64_C(86400000)
#define OPERATOR ((UINT64_C(1) << 63) + 1)

static struct fake_broker broker;
static struct fake_party ann, bob, cat;
static struct fake_session session; /* of ann and bob */

static void open_with(bool on_disk)
{
    fake_broker_open(&broker, on_disk);
    broker.settings.send_burst = 2000;
    flow_configure(broker.flow, &broker.settings);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    fake_join(&broker, &cat, "cat");
    fake_session_open(&broker, &session, &ann, &bob, 1);
}

static void open_all(void)
{
    open_with(false);
}

static void open_on_disk(void)
{
    open_with(true);
}

static void close_all(void)
{
    cr_expect_eq(store_recount(broker.store), ERR_OK);
    fake_broker_close(&broker);
}

TestSuite(revoke, .init = open_all, .fini = close_all);
TestSuite(leave, .init = open_all, .fini = close_all);
TestSuite(revoke_disk, .init = open_on_disk, .fini = close_all);

/* ---- saying it ------------------------------------------------------------------------------- */

static struct request operator_says(const char *text)
{
    struct request request
        = { .by = { .kind = BY_OPERATOR, .conn = OPERATOR }, .command = bytes_of_text(text) };

    return request;
}

/* The last object of what the operator reads; a new reference. */
static json_t *operator_reads(void)
{
    json_t *object;
    const uint8_t *end;

    cr_assert(fake_came(&broker, OUT_OPERATOR, OPERATOR));
    end = memchr(broker.kept->head.at, '\n', broker.kept->head.len);
    cr_assert(end);
    object = json_loadb((const char *)broker.kept->head.at, (size_t)(end - broker.kept->head.at), 0,
                        NULL);
    cr_assert(object);
    return object;
}

static json_t *tell(const char *text)
{
    struct request request = operator_says(text), *requests[] = { &request };

    cr_assert_eq(flow_turn(broker.flow, requests, 1), ERR_OK);
    return operator_reads();
}

static void revoke(const char *name)
{
    char text[128];
    json_t *answer;

    snprintf(text, sizeof text, "{\"verb\":\"revoke\",\"args\":[\"%s\"]}", name);
    answer = tell(text);
    cr_assert_str_eq(json_string_value(json_object_get(answer, "state")), "revoked");
    json_decref(answer);
}

static enum err leave(const struct fake_party *party, const struct fake_agent *signer,
                      const uint8_t card_hash[static 32], uint64_t ts_ms)
{
    struct message message = { .verb = VERB_LEAVE };
    uint8_t preimage[LEAVE_PREIMAGE_SIZE], sig[64];

    leave_preimage(preimage, controller_root_id(broker.controller), card_hash, ts_ms);
    fake_agent_sign(signer, bytes_of(preimage, sizeof preimage), sig);
    MESSAGE_SET(&message, ts, ts_ms);
    MESSAGE_SET(&message, sig, sig);
    return fake_say(&broker, &party->by, &message, NULL, 0).e;
}

static enum err ann_leaves(void)
{
    return leave(&ann, &ann.agent, ann.agent.card_hash, broker.now_ms);
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool count_row(void *ctx, int columns, const char *const *names, const char *const *values)
{
    (void)columns;
    (void)names;
    (void)values;
    ++*(size_t *)ctx;
    return true;
}

static size_t rows_of(const char *view, const char *column, const char *value)
{
    size_t count = 0;

    cr_assert_eq(store_view(broker.store, view, column, value, NULL, 10000, count_row, &count),
                 ERR_OK);
    return count;
}

static enum session_state state_of(const struct fake_session *of)
{
    struct session_row row;

    cr_assert_eq(store_session_find(broker.store, of->chain.sid, &row), ERR_OK);
    return row.state;
}

static bool last_entry(void *ctx, uint64_t index, struct bytes packed,
                       const uint8_t digest[static 32])
{
    struct log_entry entry;

    (void)index;
    (void)digest;
    cr_assert_eq(log_entry_parse(packed, &entry), ERR_OK);
    if (entry.type == ENTRY_REVOKE)
        cr_assert_eq(revocation_parse(entry.extra, ctx), ERR_OK);
    return true;
}

/* Of the newest REVOKE in the log; reason 0: there is none. */
static struct revocation revocation_in_log(void)
{
    struct revocation found = { 0 };

    cr_assert_eq(store_log_list(broker.store, 0, INT64_MAX, last_entry, &found), ERR_OK);
    return found;
}

/* The item is EXPIRED(1) by the controller. */
static void expect_expired(const struct fake_item *item)
{
    struct event event;

    cr_assert_eq(item->kind, ITEM_EVENT);
    cr_assert_eq(event_parse(bytes_of(item->bytes.at, EVENT_SIZE), &event), ERR_OK);
    cr_expect_eq(event.type, EVENT_EXPIRED);
    cr_expect_eq(item->bytes.at[EVENT_SIZE + 64], EXPIRED_REVOKED);
    cr_expect_eq(event_verify(bytes_of(item->bytes.at, EVENT_SIZE), item->bytes.at + EVENT_SIZE,
                              controller_ck(broker.controller)),
                 ERR_OK);
}

static size_t dropped(const uint8_t key[static 32])
{
    size_t count = 0;

    while (fake_came(&broker, OUT_KEY_DROP, 0))
        count += broker.kept->revoked && memcmp(broker.kept->key, key, 32) == 0;
    return count;
}

static void send_many(const struct fake_party *by, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(fake_send_next(&broker, &session, by), ERR_OK);
}

/* ---- at once --------------------------------------------------------------------------------- */

Test(revoke, connection_and_key_end_at_once)
{
    struct answer told;

    fake_credit(&broker, &ann, 10, 1 << 20);
    fake_broker_pass(&broker, 2000); /* the joins have been told */
    fake_forget(&broker);
    revoke("ann");
    told = fake_next(&broker, ann.by.conn, VERB_NOTIFY);
    cr_assert_eq(told.e, ERR_OK);
    cr_expect_eq(told.message.kind, NOTIFY_REVOKED);
    cr_expect(fake_came(&broker, OUT_KICK, ann.by.conn));
    cr_expect_not(fake_came(&broker, OUT_MESSAGE, ann.by.conn), "nothing is delivered any more");
    cr_expect_eq(dropped(ann.agent.tk), 1);
    told = fake_next(&broker, bob.by.conn, VERB_NOTIFY);
    cr_assert_eq(told.e, ERR_OK);
    cr_expect_eq(told.message.kind, NOTIFY_LOG_MOVED);
    cr_expect_eq(revocation_in_log().reason, REVOKED_BY_OPERATOR);
    cr_expect_eq(revocation_in_log().invalid_since_ms, broker.now_ms);
    cr_expect_eq(rows_of("v_audit", "act", "agent.revoke"), 1);
    cr_expect_eq(rows_of("v_agents", "state", "revoked"), 1);
}

/* Another entry within the second: told a second later, not never. */
Test(revoke, every_end_is_told)
{
    fake_broker_pass(&broker, 2000);
    revoke("cat");
    fake_forget(&broker);
    revoke("ann");
    cr_expect_eq(fake_next(&broker, bob.by.conn, VERB_NOTIFY).e, ERR_NOT_FOUND);
    fake_broker_pass(&broker, 1000);
    cr_expect_eq(fake_next(&broker, bob.by.conn, VERB_NOTIFY).message.kind, NOTIFY_LOG_MOVED);
    cr_expect_eq(fake_next(&broker, bob.by.conn, VERB_NOTIFY).e, ERR_NOT_FOUND);
}

/* What the revoked agent said before, and what waits behind, in one turn with the revocation. */
Test(revoke, a_message_that_waited_behind_it_is_refused)
{
    struct request request = operator_says("{\"verb\":\"revoke\",\"args\":[\"ann\"]}");
    struct message ping = { .verb = VERB_PING }, send = { .verb = VERB_SEND };
    struct buf frame = { 0 };
    struct bytes part;
    uint32_t before, behind;

    fake_frame(&frame, FRAME_DATA, session.chain.sid, &ann.agent, &bob.agent, session.next_a,
               broker.now_ms + DAY_MS, BUCKET_MIN);
    part = buf_bytes(&frame);
    MESSAGE_SET(&ping, ts, broker.now_ms);
    before = fake_queue(&broker, &ann.by, &ping, NULL, 0);
    broker.queued[broker.queued_count++] = &request;
    behind = fake_queue(&broker, &ann.by, &send, &part, 1);
    cr_assert_eq(fake_run(&broker), ERR_OK);
    cr_expect_eq(fake_answer(&broker, ann.by.conn, before).e, ERR_OK);
    cr_expect_eq(fake_answer(&broker, ann.by.conn, behind).e, ERR_CERT_REVOKED);
    cr_expect_eq(rows_of("v_frames", "kind", "data"), 0);
    buf_free(&frame);
}

/* A key that CARD has replaced may still have a connection. */
Test(revoke, replaced_keys_go_too)
{
    struct message message = { .verb = VERB_CARD };
    uint8_t keys[3][32];

    for (int i = 0; i < 2; i++) {
        struct wire_signed card;

        memcpy(keys[i], ann.agent.tk, 32);
        fake_agent_rekey(&ann.agent, broker.now_ms);
        card = (struct wire_signed){ bytes_of(ann.agent.card, ann.agent.card_len),
                                     ann.agent.card_sig };
        MESSAGE_SET(&message, card, card);
        cr_assert_eq(fake_say(&broker, &ann.by, &message, NULL, 0).e, ERR_OK);
    }
    memcpy(keys[2], ann.agent.tk, 32);
    fake_forget(&broker);
    revoke("ann");
    for (int i = 0; i < 3; i++) {
        bool found = false;

        for (const struct outgoing *out = broker.first; out; out = out->next)
            found = found
                    || (out->kind == OUT_KEY_DROP && out->revoked
                        && memcmp(out->key, keys[i], 32) == 0);
        cr_expect(found, "key %d", i);
    }
}

Test(revoke, what_others_hear)
{
    struct message lookup = { .verb = VERB_LOOKUP };
    struct fake_session other;
    struct buf frame = { 0 };
    struct fake_event opened;
    uint64_t opks = 1;

    revoke("ann");
    MESSAGE_SET(&lookup, aid, ann.agent.aid);
    cr_expect_eq(fake_say(&broker, &bob.by, &lookup, NULL, 0).e, ERR_CERT_REVOKED);
    fake_session_make(&other, &bob.agent, &ann.agent, 7, broker.now_ms, NULL, &frame, &opened);
    cr_expect_eq(fake_request(&broker, &bob, &opened, buf_bytes(&frame)).e, ERR_CERT_REVOKED);
    cr_expect_eq(fake_send_next(&broker, &session, &bob), ERR_STATE);
    cr_assert_eq(store_opk_count(broker.store, ann.by.id, &opks), ERR_OK);
    cr_expect_eq(opks, 0);
    buf_free(&frame);
}

/* ---- the operator's side --------------------------------------------------------------------- */

Test(revoke, what_the_operator_may_say)
{
    static const struct {
        const char *name, *text, *code;
        int exit;
    } cases[] = {
        { "nobody", "{\"verb\":\"revoke\",\"args\":[\"nobody\"]}", "unknown_agent", 6 },
        { "a reason of one's own", "{\"verb\":\"revoke\",\"args\":[\"ann\"],\"reason\":\"x\"}",
          "bad_value", 2 },
        { "leaving is the agent's", "{\"verb\":\"revoke\",\"args\":[\"ann\"],\"reason\":\"left\"}",
          "bad_value", 2 },
        { "somebody else has the name now",
          "{\"verb\":\"revoke\",\"args\":[\"ann\"],\"fingerprint\":\"x\"}", "refused", 4 },
    };
    json_t *answer;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        answer = tell(cases[i].text);
        cr_expect_str_eq(json_string_value(json_object_get(answer, "code")), cases[i].code, "%s",
                         cases[i].name);
        cr_expect_eq(json_integer_value(json_object_get(answer, "exit")), cases[i].exit, "%s",
                     cases[i].name);
        json_decref(answer);
        cr_expect_eq(revocation_in_log().reason, 0, "%s", cases[i].name);
    }
    answer
        = tell("{\"verb\":\"revoke\",\"args\":[\"ann\"],\"reason\":\"stolen\",\"note\":\"bus\"}");
    json_decref(answer);
    cr_expect_eq(revocation_in_log().reason, REVOKED_KEY_STOLEN);
    cr_expect_eq(rows_of("v_audit", "detail", "stolen: bus"), 1);
    answer = tell("{\"verb\":\"revoke\",\"args\":[\"ann\"]}");
    cr_expect_str_eq(json_string_value(json_object_get(answer, "code")), "revoked");
    json_decref(answer);
}

static enum err enrol(const struct fake_agent *agent)
{
    struct invite_wish wish = { .name = agent->name };
    struct message message = { .verb = VERB_ENROL };
    struct wire_signed card = { bytes_of(agent->card, agent->card_len), agent->card_sig };
    struct requester by = { .kind = BY_INVITE, .conn = ++broker.last_conn, .key = { 99 } };
    struct invite_row row;
    uint8_t sig[64];

    cr_assert_eq(store_begin(broker.store), ERR_OK);
    by.key[1] = (uint8_t)by.conn;
    cr_assert_eq(
        controller_invite_make(broker.controller, &wish, by.key, broker.now_ms, "test", &row),
        ERR_OK);
    cr_assert_eq(store_commit(broker.store), ERR_OK);
    by.id = row.invite_id;
    fake_enrol_sig(agent, controller_root_id(broker.controller), by.key, broker.now_ms, sig);
    MESSAGE_SET(&message, ts, broker.now_ms);
    MESSAGE_SET(&message, card, card);
    MESSAGE_SET(&message, sig, sig);
    return fake_say(&broker, &by, &message, NULL, 0).e;
}

/* The name is free, the identity is not. */
Test(revoke, the_identity_is_used_up)
{
    struct fake_agent again;

    revoke("ann");
    cr_expect_eq(fake_hello(&broker, &ann).e, ERR_CERT_REVOKED);
    cr_expect_eq(enrol(&ann.agent), ERR_CERT_REVOKED);
    again = ann.agent;
    fake_agent_rekey(&again, broker.now_ms);
    cr_expect_eq(enrol(&again), ERR_CERT_REVOKED, "nor with another card");
    cr_expect_null(store_agent_by_name(broker.store, bytes_of_text("ann")));
    fake_agent_make(&again, "ann", 2, broker.now_ms);
    cr_expect_eq(enrol(&again), ERR_OK);
    cr_assert(store_agent_by_name(broker.store, bytes_of_text("ann")));
    revoke("ann");
    cr_expect_eq(rows_of("v_agents", "state", "revoked"), 2);
}

/* ---- mail and sessions ----------------------------------------------------------------------- */

/* T30: what it asked reaches nobody; the asked one sees that there was something, and its end. */
Test(revoke, T30_its_request_is_never_shown)
{
    struct fake_session asked;
    struct fake_item items[256];
    struct buf frame = { 0 };
    struct fake_event opened;
    struct usage_row usage;

    fake_session_make(&asked, &ann.agent, &cat.agent, 5, broker.now_ms, NULL, &frame, &opened);
    cr_assert_eq(fake_request(&broker, &ann, &opened, buf_bytes(&frame)).e, ERR_OK);
    revoke("ann");
    cr_assert_eq(fake_fetch(&broker, &cat, items), 2);
    cr_expect_eq(items[0].kind, ITEM_REQUEST);
    cr_expect_eq(items[0].reason, NOTICE_SESSION_ENDED);
    cr_expect_eq(items[0].bytes.len, 0);
    expect_expired(&items[1]);
    cr_expect_eq(state_of(&asked), SESSION_EXPIRED);
    cr_assert_eq(store_usage_get(broker.store, cat.by.id, &usage), ERR_OK);
    cr_expect_eq(usage.requests_in, 0);
    cr_expect_eq(fake_ack_all(&broker, &cat), 2);
    buf_free(&frame);
}

/* A request to it: the asker hears that the recipient is gone, and the end. */
Test(revoke, a_request_to_it_ends)
{
    struct fake_session asked;
    struct fake_item items[256];
    struct buf frame = { 0 };
    struct fake_event opened;
    struct notice notice;

    fake_session_make(&asked, &cat.agent, &ann.agent, 5, broker.now_ms, NULL, &frame, &opened);
    cr_assert_eq(fake_request(&broker, &cat, &opened, buf_bytes(&frame)).e, ERR_OK);
    revoke("ann");
    cr_assert_eq(fake_fetch(&broker, &cat, items), 2);
    cr_assert_eq(notice_parse(items[0].bytes, &notice), ERR_OK);
    cr_expect_eq(notice.reason, NOTICE_RECIPIENT_REVOKED);
    expect_expired(&items[1]);
    cr_expect_eq(fake_ack_all(&broker, &cat), 2);
    buf_free(&frame);
}

Test(revoke, mail_to_it_ends_at_its_senders)
{
    struct fake_item items[256];
    struct notice notice;

    send_many(&bob, 3);
    revoke("ann");
    cr_assert_eq(fake_fetch(&broker, &bob, items), 4);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(items[i].kind, ITEM_NOTICE);
        cr_assert_eq(notice_parse(items[i].bytes, &notice), ERR_OK);
        cr_expect_eq(notice.reason, NOTICE_RECIPIENT_REVOKED);
        cr_expect_eq(notice.seq, 2 + i);
        cr_expect_arr_eq(notice.recipient, ann.agent.aid, 32);
    }
    expect_expired(&items[3]);
    cr_expect_eq(rows_of("v_dead", "reason", "recipient revoked"), 3);
    cr_expect_eq(rows_of("v_frames", "state", "tombstone"), 3);
    cr_expect_eq(rows_of("v_sessions", "state", "expired"), 1);
    cr_expect_eq(fake_ack_all(&broker, &bob), 4);
}

Test(revoke, mail_from_it_comes_as_lost)
{
    struct fake_item items[256];

    send_many(&ann, 3);
    revoke("ann");
    cr_assert_eq(fake_fetch(&broker, &bob, items), 4);
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(items[i].kind, ITEM_DATA);
        cr_expect_eq(items[i].seq, 2 + i);
        cr_expect_eq(items[i].reason, NOTICE_SESSION_ENDED);
        cr_expect_eq(items[i].bytes.len, 0);
    }
    expect_expired(&items[3]);
    cr_expect_eq(rows_of("v_dead", "reason", "session ended"), 3);
    cr_expect_eq(fake_ack_all(&broker, &bob), 4, "numbers fit, receipts of status 4");
}

/* Handed out, and not acknowledged yet: the ACK fits, as for an expiry. */
Test(revoke, T51_mail_that_is_being_read)
{
    struct fake_item items[256];
    struct list_maker receipts = { 0 };
    uint64_t after = fake_cursor(&broker, &bob);

    send_many(&ann, 2);
    cr_assert_eq(fake_fetch(&broker, &bob, items), 2);
    fake_receipts_of(&bob.agent, items, 2, broker.now_ms, &receipts);
    revoke("ann");
    cr_expect_eq(fake_ack_with(&broker, &bob, after, items[1].position, &receipts).e, ERR_OK);
    list_free(&receipts);
}

/* More than one step: nobody waits behind it, and all of it is done in the end. */
Test(revoke, in_bounded_steps)
{
    size_t steps = 0;

    send_many(&ann, 600);
    send_many(&bob, 600);
    revoke("ann");
    cr_expect_gt(rows_of("v_frames", "state", "waiting"), 600, "not all at once");
    cr_expect_eq(state_of(&session), SESSION_ACTIVE);
    for (; state_of(&session) == SESSION_ACTIVE && steps < 100; steps++)
        cr_assert_eq(flow_tick(broker.flow), ERR_OK);
    cr_expect_gt(steps, 3);
    cr_expect_eq(rows_of("v_dead", "reason", "recipient revoked"), 600);
    cr_expect_eq(rows_of("v_dead", "reason", "session ended"), 600);
    cr_expect_eq(state_of(&session), SESSION_EXPIRED);
}

Test(revoke_disk, a_restart_goes_on_with_it)
{
    send_many(&ann, 600);
    send_many(&bob, 600);
    revoke("ann");
    fake_broker_restart(&broker);
    cr_expect_eq(state_of(&session), SESSION_ACTIVE);
    fake_broker_pass(&broker, 60000);
    cr_expect_eq(rows_of("v_dead", "reason", "recipient revoked"), 600);
    cr_expect_eq(rows_of("v_dead", "reason", "session ended"), 600);
    cr_expect_eq(state_of(&session), SESSION_EXPIRED);
    fake_connect(&broker, &ann);
    cr_expect_eq(fake_hello(&broker, &ann).e, ERR_CERT_REVOKED);
}

/* ---- an older file put back ------------------------------------------------------------------ */

static void sql(const char *text)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/broker.db", broker.dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* Used once more after that, so that an older file in its place can be told. */
static void keep_copy(void)
{
    char text[160];

    snprintf(text, sizeof text, "VACUUM INTO '%s/copy'", broker.dir);
    sql(text);
    fake_broker_restart(&broker);
}

static void put_copy_back(void)
{
    char command[256];

    flow_close(&broker.flow);
    controller_close(&broker.controller);
    signer_close(&broker.signer);
    store_close(&broker.store);
    snprintf(
        command, sizeof command,
        "cd %s && rm -f broker.db-wal broker.db-shm && mv copy broker.db && chmod 600 broker.db",
        broker.dir);
    cr_assert_eq(system(command), 0);
    fake_broker_restart(&broker);
    cr_assert(store_was_restored(broker.store));
}

/* T56, T62: the entry comes back from enrol.log, the end of sessions waits a day. */
Test(revoke_disk, T56_a_restored_broker_knows_of_it)
{
    send_many(&ann, 1);
    keep_copy();
    revoke("ann");
    cr_expect_eq(state_of(&session), SESSION_EXPIRED);
    put_copy_back();
    cr_expect_eq(store_agent(broker.store, ann.by.id)->state, AGENT_REVOKED);
    cr_expect_eq(revocation_in_log().reason, REVOKED_BY_OPERATOR);
    fake_broker_pass(&broker, 60000);
    cr_expect_eq(rows_of("v_dead", "reason", "session ended"), 1, "its mail ends at once");
    cr_expect_eq(state_of(&session), SESSION_ACTIVE, "no EXPIRED yet");
    fake_broker_pass(&broker, DAY_MS);
    cr_expect_eq(state_of(&session), SESSION_EXPIRED);
}

/* Nor does time end a session within that day. */
Test(revoke_disk, T62_no_session_ends_for_a_day_after_a_restore)
{
    struct session_row row;

    cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    fake_broker_pass(&broker, row.idle_ms - DAY_MS / 2);
    keep_copy();
    fake_broker_pass(&broker, 60000);
    put_copy_back();
    fake_broker_pass(&broker, DAY_MS - 120000);
    cr_assert_eq(store_session_find(broker.store, session.chain.sid, &row), ERR_OK);
    cr_expect_lt(row.due_ms, broker.now_ms);
    cr_expect_eq(row.state, SESSION_ACTIVE);
    fake_broker_pass(&broker, 240000);
    cr_expect_eq(state_of(&session), SESSION_EXPIRED);
}

/* ---- LEAVE ----------------------------------------------------------------------------------- */

/* T40: the transport key alone ends nobody. */
Test(leave, T40_only_the_identity_key_can_say_it)
{
    uint8_t other[32] = { 7 };

    cr_expect_eq(leave(&ann, &bob.agent, ann.agent.card_hash, broker.now_ms), ERR_AUTH);
    cr_expect_eq(leave(&ann, &ann.agent, other, broker.now_ms), ERR_AUTH);
    cr_expect_eq(leave(&ann, &ann.agent, ann.agent.card_hash, broker.now_ms - 300001),
                 ERR_STALE_TS);
    cr_expect_eq(leave(&ann, &ann.agent, ann.agent.card_hash, broker.now_ms + 300001),
                 ERR_STALE_TS);
    cr_expect_eq(store_agent(broker.store, ann.by.id)->state, AGENT_ACTIVE);
    cr_expect_eq(revocation_in_log().reason, 0);
    fake_connect(&broker, &ann);
    cr_expect_eq(ann_leaves(), ERR_HELLO, "before HELLO");
    fake_hello(&broker, &ann);
    cr_expect_eq(leave(&ann, &ann.agent, ann.agent.card_hash, broker.now_ms - 300000), ERR_OK);
}

Test(leave, is_answered_then_the_connection_ends)
{
    cr_expect_eq(ann_leaves(), ERR_OK);
    cr_expect(fake_came(&broker, OUT_KICK, ann.by.conn));
    cr_expect_eq(fake_next(&broker, ann.by.conn, VERB_NOTIFY).e, ERR_NOT_FOUND, "it knows");
    cr_expect_eq(dropped(ann.agent.tk), 1);
    cr_expect_eq(revocation_in_log().reason, REVOKED_LEFT);
    cr_expect_eq(state_of(&session), SESSION_EXPIRED);
    cr_expect_eq(ann_leaves(), ERR_CERT_REVOKED);
}

/* What it has closed before is settled between the two: its last words arrive. */
Test(leave, last_words_in_a_closed_session_arrive)
{
    struct closed_body closed = { .reason = CLOSED_DONE };
    uint8_t body[CLOSED_BODY_SIZE];
    struct fake_event event;
    struct fake_item items[256];

    send_many(&ann, 2);
    closed.final_seq = session.next_a - 1;
    closed_body_encode(body, &closed);
    fake_event_make(&session, &ann.agent, EVENT_CLOSED, bytes_of(body, sizeof body), broker.now_ms,
                    &event);
    cr_assert_eq(fake_event_say(&broker, &ann, &event, 1, bytes_of(NULL, 0)).e, ERR_OK);
    cr_expect_eq(ann_leaves(), ERR_OK);
    cr_assert_eq(fake_fetch(&broker, &bob, items), 3);
    cr_expect_eq(items[0].reason, 0);
    cr_expect_eq(items[1].reason, 0);
    cr_expect_eq(state_of(&session), SESSION_CLOSED);
    cr_expect_eq(fake_ack_all(&broker, &bob), 3);
}

/* The operator's word is stronger. */
Test(leave, last_words_of_a_revoked_agent_do_not)
{
    struct closed_body closed = { .reason = CLOSED_DONE };
    uint8_t body[CLOSED_BODY_SIZE];
    struct fake_event event;
    struct fake_item items[256];

    send_many(&ann, 1);
    closed.final_seq = session.next_a - 1;
    closed_body_encode(body, &closed);
    fake_event_make(&session, &ann.agent, EVENT_CLOSED, bytes_of(body, sizeof body), broker.now_ms,
                    &event);
    cr_assert_eq(fake_event_say(&broker, &ann, &event, 1, bytes_of(NULL, 0)).e, ERR_OK);
    revoke("ann");
    cr_assert_eq(fake_fetch(&broker, &bob, items), 2);
    cr_expect_eq(items[0].reason, NOTICE_SESSION_ENDED);
    cr_expect_eq(state_of(&session), SESSION_CLOSED);
}
