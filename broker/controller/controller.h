/*
 * controller - certifies agents and keeps the log; makes and judges invites.
 *
 * Thread   the store actor's; everything that writes runs inside the store's turn.
 * Check    functions named …_check write nothing; what they allowed in a turn stays allowed in it.
 * Errors   of the wire where a request is judged; ERR_STORE and the like from the store.
 */
#ifndef BROKER_CONTROLLER_H
#define BROKER_CONTROLLER_H
#include "broker/controller/signer.h"
#include "broker/store/invites.h"
#include "broker/store/store.h"

struct controller;

struct controller_settings {
    uint64_t certificate_ttl_ms; /* 24 h */
    uint64_t invite_ttl_ms;      /* 1 h */
    char default_circle[NAME_MAX_LEN + 1];
    uint8_t curve_pk[32];                   /* of the listener; fixed at opening */
    char endpoint[SERVER_ENDPOINT_MAX + 1]; /* tcp://host:port for the server card */
};

void controller_settings_default(struct controller_settings *out);

/* Borrows both; feeds the whole log to the signer.  ERR_CONFLICT: the log in the file is broken. */
enum err controller_open(struct controller **out, struct store *store, struct signer *signer,
                         const struct controller_settings *settings);
void controller_close(struct controller **controller);
/* Times, circle and endpoint; curve_pk stays. */
void controller_configure(struct controller *controller,
                          const struct controller_settings *settings);

const uint8_t *controller_ck(const struct controller *controller);
const uint8_t *controller_root_id(const struct controller *controller);

/* A server card for now, made anew when less than half of its life is left.  Borrowed until the
 * next call. */
enum err controller_server_card(struct controller *controller, uint64_t now_ms, struct bytes *card,
                                const uint8_t **sig);

/* ---- certificates -----------------------------------------------------------------------------
 */

/*
 * The agent's current credential, appended to `out`; its certificate is issued anew when there is
 * none for the current card or less than `least_ms` of it is left.  ERR_CERT_REVOKED.
 */
enum err controller_credential(struct controller *controller, int64_t agent_id, uint64_t now_ms,
                               uint64_t least_ms, struct buf *out);

/* EXPIRED event of a session: signs the preimage. */
enum err controller_sign_expired(struct controller *controller, const uint8_t preimage[static 174],
                                 uint8_t sig[static 64]);

/* ---- joining ----------------------------------------------------------------------------------
 */

enum enrol_outcome { ENROL_AGAIN, ENROL_NEW, ENROL_WAIT, ENROL_ADOPT };

/* What ENROL is about, parsed and judged (docs/protocol.md 2.3, rows 1-9). */
struct enrolment {
    struct invite_row invite;
    struct card card; /* borrows from the request */
    struct bytes packed;
    const uint8_t *card_sig;
    uint8_t aid[32], card_hash[32];
    enum enrol_outcome outcome; /* what enrol_proceed() will do */
    int64_t agent_id;           /* AGAIN, ADOPT; NEW: after proceeding */
};

enum err controller_enrol_check(struct controller *controller, int64_t invite_id, struct bytes card,
                                const uint8_t card_sig[static 64],
                                const uint8_t enrol_sig[static 64], uint64_t ts_ms, uint64_t now_ms,
                                struct enrolment *out);
/* Row 10 and 11.  ERR_PENDING_APPROVAL is not a refusal: the card waits in the invite, commit. */
enum err controller_enrol_proceed(struct controller *controller, struct enrolment *enrolment,
                                  uint64_t now_ms);

/* The agent has said HELLO with its own key: its invite leaves the key set.  *key is that invite's;
 * ERR_NOT_FOUND: there was none. */
enum err controller_enrol_done(struct controller *controller, int64_t agent_id, uint64_t now_ms,
                               uint8_t key[static 32]);

/* A new generation of a card.  *same: the bytes are those we have, nothing to do.
 * ERR_SCHEMA, ERR_AUTH, ERR_VERSION, ERR_FORBIDDEN, ERR_CONFLICT. */
enum err controller_card_check(struct controller *controller, int64_t agent_id, struct bytes card,
                               const uint8_t card_sig[static 64], uint64_t now_ms, bool *same,
                               struct card *out);
enum err controller_card_proceed(struct controller *controller, int64_t agent_id,
                                 struct bytes packed, const uint8_t card_sig[static 64],
                                 const struct card *card, uint64_t now_ms);

/* ---- ending -----------------------------------------------------------------------------------
 */

/*
 * The agent's card counts for nothing any more: entry REVOKE, state, audit.  What it had at the
 * broker is the flow's to end.  `note` is the operator's, for the audit.  ERR_NOT_FOUND;
 * ERR_CERT_REVOKED: it is already.
 */
enum err controller_revoke(struct controller *controller, int64_t agent_id,
                           const struct revocation *revocation, uint64_t now_ms, const char *who,
                           const char *note);

/* "operator", "lost", "stolen", "replaced", "left". */
const char *revocation_word(uint8_t reason);

/* What LEAVE says: fresh, and signed over the current card.  ERR_STALE_TS, ERR_AUTH. */
enum err controller_leave_check(struct controller *controller, int64_t agent_id, uint64_t ts_ms,
                                const uint8_t sig[static 64], uint64_t now_ms);

/* Is `tk` somebody's: an agent's or an invite's that is still in the key set? */
enum err controller_key_taken(struct controller *controller, const uint8_t key[static 32],
                              uint64_t now_ms, bool *taken);

/* ---- invites, for the operator ----------------------------------------------------------------
 */

struct invite_wish {
    const char *name;           /* NULL: any free name */
    const char *const *circles; /* none and not `guest`: the default one */
    size_t circle_count;
    bool guest; /* no circle */
    bool approve;
    uint64_t ttl_ms;  /* 0: as configured */
    const char *note; /* NULL: none */
};

/* The caller makes the key pair and puts the secret half into the text.  ERR_MALFORMED (a name, a
 * circle, too many of them, a time out of bounds), ERR_NAME_TAKEN. */
enum err controller_invite_make(struct controller *controller, const struct invite_wish *wish,
                                const uint8_t key[static 32], uint64_t now_ms, const char *who,
                                struct invite_row *out);

/* ERR_NOT_FOUND; ERR_STATE: used, or over already.  The key in `out` leaves the key set. */
enum err controller_invite_withdraw(struct controller *controller, int64_t invite_id,
                                    uint64_t now_ms, const char *who, struct invite_row *out);

/* The waiting invite whose card has this name.  ERR_NOT_FOUND. */
enum err controller_waiting_find(struct controller *controller, const char *name, uint64_t now_ms,
                                 struct invite_row *out, struct card *card);

/* Rows 7-9 and 11 of ENROL, now.  *agent_id may finish handshakes afterwards.  ERR_STATE,
 * ERR_NAME_TAKEN, ERR_FORBIDDEN, ERR_CERT_REVOKED. */
enum err controller_invite_approve(struct controller *controller, int64_t invite_id,
                                   uint64_t now_ms, const char *who, int64_t *agent_id);
enum err controller_invite_deny(struct controller *controller, int64_t invite_id, uint64_t now_ms,
                                const char *who, struct invite_row *out);

#endif
