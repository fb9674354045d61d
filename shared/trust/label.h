/*
 * label - every label of a2a/1, once.  L("x") is "a2a/1 x" and one zero byte, so that none begins
 * another, and nothing signed or derived for one purpose fits a second.
 */
#ifndef TRUST_LABEL_H
#define TRUST_LABEL_H
#include "shared/base/sha256.h"

/* LABEL(constant, text) */
#define LABELS(LABEL)                                                                              \
    LABEL(AID, "aid")                                                                              \
    LABEL(CARD, "card")                                                                            \
    LABEL(CERT, "cert")                                                                            \
    LABEL(LOG, "log")                                                                              \
    LABEL(SPK, "spk")                                                                              \
    LABEL(ENROL, "enrol")                                                                          \
    LABEL(LEAVE, "leave")                                                                          \
    LABEL(SID, "sid")                                                                              \
    LABEL(TH, "th")                                                                                \
    LABEL(X3DH, "x3dh")                                                                            \
    LABEL(RK, "rk")                                                                                \
    LABEL(HDR, "hdr")                                                                              \
    LABEL(MK, "mk")                                                                                \
    LABEL(MSG, "msg")                                                                              \
    LABEL(FRAME, "frame")                                                                          \
    LABEL(BODY, "body")                                                                            \
    LABEL(EVENT, "event")                                                                          \
    LABEL(RCPT, "rcpt")                                                                            \
    LABEL(RANGE, "range")                                                                          \
    LABEL(GCK, "gck")                                                                              \
    LABEL(GCONF, "gconf")                                                                          \
    LABEL(GMK, "gmk")                                                                              \
    LABEL(GMSG, "gmsg")                                                                            \
    LABEL(GSIG, "gsig")                                                                            \
    LABEL(MEMBERS, "members")                                                                      \
    LABEL(ROOT, "root")                                                                            \
    LABEL(SERVER, "server")                                                                        \
    LABEL(STATE, "state")

enum label {
#define LABEL(constant, text) LABEL_##constant,
    LABELS(LABEL)
#undef LABEL
        LABEL_COUNT
};

#define LABEL_MAX_SIZE 14 /* "a2a/1 members" and its zero byte */

/* L(x), the zero byte included.  Static. */
struct bytes label(enum label which);

/* The text alone, for the test that holds the list against others. */
const char *label_text(enum label which);

/* Writes L(x) and returns what is behind it. */
uint8_t *put_label(uint8_t *at, enum label which);

/* SHA-256(L(x) ‖ data), and the same with more than one piece. */
void label_hash(uint8_t out[static 32], enum label which, struct bytes data);
void label_hash_begin(struct sha256 *hash, enum label which);

/* Is `sig` by `pk` over L(x) ‖ object? */
bool label_verify(const uint8_t pk[static 32], const uint8_t sig[static 64], enum label which,
                  struct bytes object);

/* Appends L(x) ‖ object: what is signed for it. */
void label_preimage(struct buf *out, enum label which, struct bytes object);

#endif
