/*
 * group - epoch secrets, and messages sealed once for all members (docs/protocol.md 5.3).
 *
 * Each member has one chain per epoch, derived from the epoch secret; every message is signed
 * inside.  Plain data: a step works on a copy and replaces it only after AEAD, commitment and
 * signature were good, so neither a forged frame nor another member's leaves a trace.
 * No I/O, no clock, no chance: `rand` and the time are arguments.
 * Secret   chains, skipped keys, epoch secrets; whoever holds a copy wipes it.
 */
#ifndef CRYPTO_GROUP_H
#define CRYPTO_GROUP_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/wire/frame.h"

#define GROUP_STEP_MAX        1000 /* generations left out at once */
#define GROUP_SKIPPED_MAX     8000 /* of a whole group: the caller adds up */
#define GROUP_SKIPPED_LIFE_MS (30ull * 86400000)
#define GROUP_MESSAGE_MAX     65471

/* What all frames of an epoch have in common. */
struct group_epoch {
    uint8_t gid[16];
    uint32_t epoch;
    uint8_t digest[32]; /* evd: of the EPOCH event */
    uint8_t suite;
};

/* confirm, as it stands in the EPOCH event.  `prev`: that event's own prev. */
void group_confirm(uint8_t out[static 32], const uint8_t secret[static 32],
                   const uint8_t gid[static 16], uint32_t epoch, const uint8_t prev[static 32],
                   const uint8_t members_hash[static 32]);

struct group_skipped {
    uint32_t gen, added_s; /* Unix time */
    uint8_t key[32];
};

/* One member's chain in one epoch.  Owns `skipped`; group_sending_wipe() zeroes and frees. */
struct group_sending {
    uint8_t key[32];
    uint32_t next; /* generation of the next message; at the sender: of the next to seal */
    struct group_skipped *skipped; /* oldest first */
    uint32_t skipped_count, skipped_cap;
};

void group_sending_init(struct group_sending *out, const uint8_t secret[static 32],
                        const struct group_epoch *epoch, const uint8_t aid[static 32]);
void group_sending_wipe(struct group_sending *chain);
/* For the database, to be sealed there.  ERR_CORRUPT: not something we wrote; ERR_STORE_NEWER. */
void group_sending_export(const struct group_sending *chain, struct buf *out);
enum err group_sending_import(struct group_sending *out, struct bytes bytes);
/* Forgets skipped keys that have outlived their time; then the oldest, until `most` are left. */
void group_sending_trim(struct group_sending *chain, uint64_t now_ms, uint32_t most);

/* Size of the frame for a message of this length. */
size_t group_frame_size(size_t message_len);

/*
 * Seals `message` as one whole frame of group_frame_size() bytes, signed with `ik_secret`, and
 * names it in `digest`.  header: kind 8, recipient zeroes, scope the group, suite the epoch's.
 * ERR_TOO_LARGE; ERR_STATE: the chain has been used up.  After an error it is what it was.
 */
enum err group_encrypt(struct group_sending *chain, const struct group_epoch *epoch,
                       const struct frame_header *header, const uint8_t ik_secret[static 64],
                       struct bytes message, const uint8_t rand[static 32], uint8_t *frame,
                       uint8_t digest[static FRAME_DIGEST_SIZE]);
/* With an N of the caller's: for known answers only. */
enum err group_encrypt_with_n(struct group_sending *chain, const struct group_epoch *epoch,
                              const struct frame_header *header, const uint8_t ik_secret[static 64],
                              struct bytes message, const uint8_t n[static 24], uint8_t *frame,
                              uint8_t digest[static FRAME_DIGEST_SIZE]);

/* Epoch and generation that a group frame names; false: it is none. */
bool group_frame_place(const struct frame_view *frame, uint32_t *epoch, uint32_t *gen);

struct group_opened {
    size_t offset, len; /* of the message in `out` */
    bool late;          /* opened with a skipped key */
};

/*
 * Opens a frame of the member whose chain and public key these are.  `out` has room for
 * frame->ct.len - 16 bytes.
 * ERR_SCHEMA     no whole group frame, another suite or epoch
 * ERR_DECRYPT    generation used already or evicted, body or padding; ERR_COMMIT
 * ERR_AUTH       sealed by somebody who knows the chain, and not signed by its owner
 * ERR_SKIP_LIMIT more than GROUP_STEP_MAX generations left out
 * After an error the chain is what it was, and `out` holds zeroes or nothing.
 */
enum err group_decrypt(struct group_sending *chain, const struct group_epoch *epoch,
                       const struct frame_view *frame, const uint8_t ik_public[static 32],
                       uint64_t now_ms, uint8_t *out, struct group_opened *opened);

#endif
