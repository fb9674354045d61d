/* layers: testlib */
/*
 * Large content at the broker: announced, brought in order, hashed, read, over (T35 at the broker).
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/store/blobs.h"
#include "broker/store/usage.h"
#include "shared/wire/limit.h"
#include "tests/lib/fake_broker.h"

#define DAY_MS   UINT64_C(86400000)
#define COMPLETE 1

static struct fake_broker broker;
static struct fake_party ann, bob;

static void open_all(void)
{
    fake_broker_open(&broker, false);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
}

static void close_all(void)
{
    fake_broker_close(&broker);
}

TestSuite(blob, .init = open_all, .fini = close_all);

/* Content made of its number; every chunk is full but the last. */
struct content {
    uint8_t id[16], hash[32];
    struct buf bytes;
    uint64_t chunks;
};

static void content_make(struct content *content, uint8_t number, uint64_t chunks, uint64_t last)
{
    *content = (struct content){ .chunks = chunks };
    memset(content->id, number, sizeof content->id);
    memset(buf_extend(&content->bytes, (chunks - 1) * LIMIT_BLOB_CHUNK + last), number,
           (chunks - 1) * LIMIT_BLOB_CHUNK + last);
    for (uint64_t i = 0; i < chunks; i++)
        put_u64(content->bytes.at + i * LIMIT_BLOB_CHUNK, i);
    crypto_generichash(content->hash, 32, content->bytes.at, content->bytes.len, NULL, 0);
}

static struct bytes chunk_of(const struct content *content, uint64_t index)
{
    uint64_t from = index * LIMIT_BLOB_CHUNK;
    uint64_t len = content->bytes.len - from;

    return bytes_of(content->bytes.at + from, len < LIMIT_BLOB_CHUNK ? len : LIMIT_BLOB_CHUNK);
}

static struct answer put_with(const struct fake_party *by, const struct content *content,
                              uint64_t ttl_ms, uint64_t gets)
{
    struct message message = { .verb = VERB_BLOB_PUT };

    MESSAGE_SET(&message, id, content->id);
    MESSAGE_SET(&message, size, content->bytes.len);
    MESSAGE_SET(&message, count, content->chunks);
    MESSAGE_SET(&message, hash, content->hash);
    MESSAGE_SET(&message, ttl_ms, ttl_ms);
    if (gets)
        MESSAGE_SET(&message, max, gets);
    return fake_say(&broker, &by->by, &message, NULL, 0);
}

static struct answer put(const struct fake_party *by, const struct content *content)
{
    return put_with(by, content, 2 * DAY_MS, 0);
}

static struct answer bring(const struct fake_party *by, const struct content *content,
                           uint64_t index, size_t count)
{
    struct message message = { .verb = VERB_BLOB_CHUNK };
    struct bytes parts[63];

    for (size_t i = 0; i < count; i++)
        parts[i] = chunk_of(content, index + i);
    MESSAGE_SET(&message, id, content->id);
    MESSAGE_SET(&message, index, index);
    return fake_say(&broker, &by->by, &message, parts, count);
}

static struct answer get(const struct fake_party *by, const uint8_t id[static 16], uint64_t index,
                         uint64_t count)
{
    struct message message = { .verb = VERB_BLOB_GET };

    MESSAGE_SET(&message, id, id);
    MESSAGE_SET(&message, index, index);
    MESSAGE_SET(&message, count, count);
    return fake_say(&broker, &by->by, &message, NULL, 0);
}

static struct answer end(const struct fake_party *by, const uint8_t id[static 16])
{
    struct message message = { .verb = VERB_BLOB_DEL };

    MESSAGE_SET(&message, id, id);
    return fake_say(&broker, &by->by, &message, NULL, 0);
}

static void bring_all(const struct content *content)
{
    for (uint64_t i = 0; i < content->chunks; i++)
        cr_assert_eq(bring(&ann, content, i, 1).e, ERR_OK, "chunk %llu", (unsigned long long)i);
}

static uint64_t charged(const struct fake_party *party)
{
    struct usage_row usage;

    cr_assert_eq(store_usage_get(broker.store, party->by.id, &usage), ERR_OK);
    return usage.blob_bytes;
}

Test(blob, comes_in_order_and_is_read_by_anybody_who_knows_its_id)
{
    struct content content;
    struct answer answer;

    content_make(&content, 1, 5, 100);
    answer = put(&ann, &content);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.index, 0);
    cr_expect_eq(get(&bob, content.id, 0, 1).e, ERR_BLOB_NOT_FOUND, "not all there");
    answer = bring(&ann, &content, 0, 3);
    cr_expect_eq(answer.message.index, 3);
    cr_expect_eq(answer.message.flags, 0);
    answer = bring(&ann, &content, 3, 2);
    cr_expect_eq(answer.message.index, 5);
    cr_expect_eq(answer.message.flags, COMPLETE);
    answer = get(&bob, content.id, 1, 2);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.size, content.bytes.len);
    cr_expect_eq(answer.message.count, 5);
    cr_assert_eq(answer.part_count, 2);
    cr_expect(bytes_equal(answer.parts[1], chunk_of(&content, 2)));
    answer = get(&bob, content.id, 3, 63);
    cr_assert_eq(answer.part_count, 2);
    cr_expect_eq(answer.parts[1].len, 100);
    buf_free(&content.bytes);
}

Test(blob, is_resumed_where_it_stopped)
{
    struct content content;
    struct answer answer;

    content_make(&content, 1, 6, 18);
    put(&ann, &content);
    bring(&ann, &content, 0, 2);
    answer = bring(&ann, &content, 4, 1);
    cr_expect_eq(answer.e, ERR_SEQ_GAP);
    cr_expect_eq(answer.message.index, 2);
    answer = put(&ann, &content);
    cr_expect_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.index, 2, "the announcement said again tells how far it is");
    answer = bring(&ann, &content, 1, 3);
    cr_expect_eq(answer.e, ERR_OK, "what is there already must be the same, and is");
    cr_expect_eq(answer.message.index, 4);
    content.bytes.at[3 * LIMIT_BLOB_CHUNK + 9] ^= 1;
    cr_expect_eq(bring(&ann, &content, 3, 2).e, ERR_BLOB_CONFLICT);
    content.bytes.at[3 * LIMIT_BLOB_CHUNK + 9] ^= 1;
    cr_expect_eq(bring(&ann, &content, 4, 2).message.flags, COMPLETE);
    buf_free(&content.bytes);
}

Test(blob, T35_whose_hash_is_wrong_is_never_served)
{
    struct content content;

    content_make(&content, 1, 3, 50);
    put(&ann, &content);
    bring(&ann, &content, 0, 2);
    content.bytes.at[2 * LIMIT_BLOB_CHUNK + 8] ^= 1;
    cr_expect_eq(bring(&ann, &content, 2, 1).message.flags, 0);
    cr_expect_eq(get(&bob, content.id, 0, 1).e, ERR_BLOB_NOT_FOUND);
    cr_expect_eq(put(&ann, &content).e, ERR_CORRUPT);
    cr_expect_eq(bring(&ann, &content, 2, 1).e, ERR_CORRUPT);
    fake_broker_pass(&broker, 2 * 3600000);
    fake_hello(&broker, &ann);
    cr_expect_eq(charged(&ann), 0);
    buf_free(&content.bytes);
}

/* As a disk would do it. */
static void damage_last_chunk(void)
{
    char path[128];
    sqlite3 *file;

    snprintf(path, sizeof path, "%s/broker.db", broker.dir);
    cr_assert_eq(sqlite3_open(path, &file), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(file,
                              "UPDATE chunk SET bytes = zeroblob(length(bytes))"
                              " WHERE idx = (SELECT max(idx) FROM chunk)",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    cr_assert_eq(sqlite3_changes(file), 1);
    sqlite3_close(file);
}

Test(blob, T35_whose_stored_bytes_changed_is_not_served)
{
    struct content content;
    struct answer answer;

    fake_broker_close(&broker);
    fake_broker_open(&broker, true);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    content_make(&content, 1, 2, 50);
    put(&ann, &content);
    bring_all(&content);
    damage_last_chunk();
    answer = get(&bob, content.id, 0, 2);
    cr_expect_eq(answer.e, ERR_CORRUPT);
    cr_expect_eq(answer.part_count, 0);
    cr_expect_eq(get(&bob, content.id, 0, 1).e, ERR_OK, "the first one is what it was");
    buf_free(&content.bytes);
}

Test(blob, belongs_to_its_owner)
{
    struct content content;

    content_make(&content, 1, 2, 30);
    put(&ann, &content);
    cr_expect_eq(put(&bob, &content).e, ERR_BLOB_CONFLICT);
    cr_expect_eq(bring(&bob, &content, 0, 1).e, ERR_BLOB_NOT_FOUND);
    bring_all(&content);
    cr_expect_eq(end(&bob, content.id).e, ERR_FORBIDDEN);
    cr_expect_eq(get(&bob, content.id, 0, 1).e, ERR_OK);
    cr_expect_eq(end(&ann, content.id).e, ERR_OK);
    cr_expect_eq(end(&ann, content.id).e, ERR_OK, "said again");
    cr_expect_eq(get(&bob, content.id, 0, 1).e, ERR_BLOB_NOT_FOUND);
    fake_broker_pass(&broker, 60000);
    cr_expect_eq(charged(&ann), 0);
    buf_free(&content.bytes);
}

Test(blob, other_values_under_an_id_are_refused)
{
    struct content content, other;

    content_make(&content, 1, 2, 30);
    content_make(&other, 1, 2, 31);
    put(&ann, &content);
    cr_expect_eq(put(&ann, &other).e, ERR_BLOB_CONFLICT);
    buf_free(&content.bytes);
    buf_free(&other.bytes);
}

Test(blob, sizes_must_fit)
{
    static const struct {
        const char *name;
        uint64_t size, count;
        enum err e;
    } rows[] = {
        { "no chunks", 100, 0, ERR_SCHEMA },
        { "last chunk empty", LIMIT_BLOB_CHUNK, 2, ERR_SCHEMA },
        { "last chunk without content", LIMIT_BLOB_CHUNK + 17, 2, ERR_SCHEMA },
        { "one byte", LIMIT_BLOB_CHUNK + 18, 2, ERR_OK },
        { "more than the chunks hold", 2 * LIMIT_BLOB_CHUNK + 1, 2, ERR_SCHEMA },
        { "too large", LIMIT_BLOB_MAX + 65553, LIMIT_BLOB_MAX / LIMIT_BLOB_CHUNK + 2,
          ERR_TOO_LARGE },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct message message = { .verb = VERB_BLOB_PUT };
        uint8_t id[16] = { (uint8_t)i }, hash[32] = { 1 };

        MESSAGE_SET(&message, id, id);
        MESSAGE_SET(&message, size, rows[i].size);
        MESSAGE_SET(&message, count, rows[i].count);
        MESSAGE_SET(&message, hash, hash);
        MESSAGE_SET(&message, ttl_ms, DAY_MS);
        cr_expect_eq(fake_say(&broker, &ann.by, &message, NULL, 0).e, rows[i].e, "%s",
                     rows[i].name);
    }
}

Test(blob, chunks_of_another_length_are_refused_and_nothing_is_stored)
{
    struct content content;
    struct message message = { .verb = VERB_BLOB_CHUNK };
    struct bytes parts[2];

    content_make(&content, 1, 3, 30);
    put(&ann, &content);
    parts[0] = chunk_of(&content, 0);
    parts[1] = bytes_of(content.bytes.at, LIMIT_BLOB_CHUNK - 1);
    MESSAGE_SET(&message, id, content.id);
    MESSAGE_SET(&message, index, 0);
    cr_expect_eq(fake_say(&broker, &ann.by, &message, parts, 2).e, ERR_SCHEMA);
    cr_expect_eq(put(&ann, &content).message.index, 0);
    buf_free(&content.bytes);
}

Test(blob, ends_with_its_life_and_its_gets)
{
    struct content brief, counted;

    content_make(&brief, 1, 2, 30);
    content_make(&counted, 2, 2, 30);
    put_with(&ann, &brief, 3600000, 0);
    put_with(&ann, &counted, DAY_MS, 2);
    bring_all(&brief);
    bring_all(&counted);
    cr_expect_eq(charged(&ann), brief.bytes.len + counted.bytes.len);
    cr_expect_eq(get(&bob, counted.id, 0, 2).e, ERR_OK);
    cr_expect_eq(get(&bob, counted.id, 1, 1).e, ERR_OK, "the second time the last chunk goes out");
    fake_broker_pass(&broker, 3600000 - 60000);
    fake_hello(&broker, &ann);
    fake_hello(&broker, &bob);
    cr_expect_eq(get(&bob, brief.id, 0, 1).e, ERR_OK);
    cr_expect_eq(get(&bob, counted.id, 0, 1).e, ERR_OK, "an hour for whoever reads it now");
    fake_broker_pass(&broker, 120000);
    fake_hello(&broker, &bob);
    cr_expect_eq(get(&bob, brief.id, 0, 1).e, ERR_BLOB_NOT_FOUND);
    cr_expect_eq(get(&bob, counted.id, 0, 1).e, ERR_BLOB_NOT_FOUND);
    cr_expect_eq(charged(&ann), 0);
    buf_free(&brief.bytes);
    buf_free(&counted.bytes);
}

Test(blob, is_charged_as_announced_up_to_the_quota)
{
    struct content content;

    broker.settings.blob_agent_bytes = 2 * LIMIT_BLOB_CHUNK - 1;
    flow_configure(broker.flow, &broker.settings);
    content_make(&content, 1, 2, 30);
    cr_expect_eq(put(&ann, &content).e, ERR_OK);
    memset(content.id, 2, sizeof content.id);
    cr_expect_eq(put(&ann, &content).e, ERR_QUOTA);
    cr_expect_eq(put(&bob, &content).e, ERR_OK, "everybody has a quota of his own");
    buf_free(&content.bytes);
}

Test(blob, is_not_taken_while_the_disk_is_full)
{
    struct content content;

    content_make(&content, 1, 2, 30);
    put(&ann, &content);
    broker.disk_free = 0;
    fake_broker_pass(&broker, 2000);
    cr_expect_eq(bring(&ann, &content, 0, 1).e, ERR_DISK);
    memset(content.id, 2, sizeof content.id);
    cr_expect_eq(put(&ann, &content).e, ERR_DISK);
    buf_free(&content.bytes);
}

Test(blob, that_was_complete_before_a_restart_is_hashed_anew_in_slices)
{
    struct content content;
    struct answer answer;

    fake_broker_close(&broker);
    fake_broker_open(&broker, true);
    fake_join(&broker, &ann, "ann");
    fake_join(&broker, &bob, "bob");
    content_make(&content, 1, 70, 30);
    put(&ann, &content);
    bring(&ann, &content, 0, 60);
    fake_broker_restart(&broker);
    fake_connect(&broker, &ann);
    fake_hello(&broker, &ann);
    answer = bring(&ann, &content, 60, 10);
    cr_assert_eq(answer.e, ERR_OK);
    cr_expect_eq(answer.message.flags, 0, "its first part is not in the hash any more");
    fake_broker_pass(&broker, 1000);
    answer = put(&ann, &content);
    cr_expect_eq(answer.message.flags, COMPLETE);
    buf_free(&content.bytes);
}
