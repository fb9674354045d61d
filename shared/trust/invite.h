/*
 * invite - the text that lets an agent in: sealpost://HOST:PORT/#… (2.3).
 *
 * Secret   the text and invite_curve_sk are the token; whoever holds them wipes them.
 */
#ifndef TRUST_INVITE_H
#define TRUST_INVITE_H
#include "shared/base/bytes.h"
#include "shared/base/err.h"

#define INVITE_HOST_MAX  255
#define INVITE_SIZE      113 /* the packed part */
#define INVITE_TEXT_SIZE (11 + INVITE_HOST_MAX + 8 + 151 + 1)

struct invite {
    char host[INVITE_HOST_MAX + 1]; /* DNS name, IPv4, or [IPv6] with its brackets */
    uint16_t port;
    uint8_t server_curve_pk[32], root_id[32];
    uint8_t invite_curve_sk[32];
    uint64_t exp_ms;
};

/* ERR_MALFORMED: host or port cannot stand in an invite. */
enum err invite_encode(char out[static INVITE_TEXT_SIZE], const struct invite *invite);

/* Accepts exactly what invite_encode() writes.  ERR_MALFORMED; ERR_TOKEN: over since 300 s. */
enum err invite_parse(const char *text, uint64_t now_ms, struct invite *out);

#endif
