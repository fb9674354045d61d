/*
 * log_entry - one line of the controller's hash-chained list of bindings (2.4), and the chain.
 */
#ifndef TRUST_LOG_ENTRY_H
#define TRUST_LOG_ENTRY_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"
#include "shared/base/text.h"

#define LOG_ENTRY_MAX 1024
#define LOG_EXTRA_MAX 521 /* eight circles of 64 bytes */
#define CIRCLES_MAX   8

enum log_entry_type { ENTRY_ENROL = 1, ENTRY_CARD = 2, ENTRY_REVOKE = 3 };

struct log_entry {
    uint64_t index, ts_ms;
    enum log_entry_type type;
    uint8_t aid[32], card_hash[32];
    char name[NAME_MAX_LEN + 1];
    struct bytes extra; /* by type: circles, nothing, revocation; borrowed */
};

void log_entry_encode(struct buf *out, const struct log_entry *entry);

/* Strict, `extra` included.  ERR_SCHEMA. */
enum err log_entry_parse(struct bytes packed, struct log_entry *out);

/* d_i of d_{i-1} and the packed entry; `prev` of the first one is zeroes.  May work in place. */
void log_digest(uint8_t out[static 32], const uint8_t prev[static 32], struct bytes packed);

/* Where a log ends.  {0} is the head of the empty log. */
struct log_head {
    uint64_t next;      /* index of the entry that comes next */
    uint64_t ts_ms;     /* of the last one */
    uint8_t digest[32]; /* of the last one */
};

/* Parses the entry and moves the head behind it.  ERR_SCHEMA; ERR_CONFLICT: wrong index, or time
 * runs backwards.  After an error the head is what it was. */
enum err log_head_append(struct log_head *head, struct bytes packed, struct log_entry *out);

/* extra of ENROL: labels are valid names, strictly ascending; borrowed. */
struct circles {
    size_t count;
    struct bytes label[CIRCLES_MAX];
};

/* Labels in order already; ERR_MALFORMED if they are not as the log wants them. */
enum err circles_encode(struct buf *out, const struct circles *circles);
/* ERR_SCHEMA.  An empty `extra` is no circle. */
enum err circles_parse(struct bytes extra, struct circles *out);
bool circles_share(const struct circles *a, const struct circles *b);

/* extra of REVOKE. */
#define REVOCATION_SIZE 9
enum revocation_reason {
    REVOKED_BY_OPERATOR = 1,
    REVOKED_KEY_LOST,
    REVOKED_KEY_STOLEN,
    REVOKED_REPLACED,
    REVOKED_LEFT
};
struct revocation {
    uint8_t reason;
    uint64_t invalid_since_ms;
};
void revocation_encode(uint8_t out[static REVOCATION_SIZE], const struct revocation *revocation);
enum err revocation_parse(struct bytes extra, struct revocation *out);

#endif
